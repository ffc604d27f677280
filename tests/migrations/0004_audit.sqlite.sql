--
-- Create model AuditEntry
--
CREATE TABLE "audit" (
    "id" CHAR(36) NOT NULL  PRIMARY KEY,
    "subject" VARCHAR(255),
    "action" VARCHAR(32) NOT NULL,
    "object" VARCHAR(128) NOT NULL,
    "before" JSON,
    "after" JSON,
    "created_at" TIMESTAMP NOT NULL
);
--
-- Run SQL
--
CREATE INDEX audit_object ON audit (object, id)
CREATE INDEX audit_subject ON audit (subject, id)
