--
-- Create model Process
--
CREATE TABLE "process" (
    "id" CHAR(36) NOT NULL  PRIMARY KEY,
    "name" VARCHAR(300) NOT NULL,
    "role" VARCHAR(16) NOT NULL,
    "revisions" JSON,
    "broken" JSON,
    "started_at" TIMESTAMP NOT NULL,
    "seen_at" TIMESTAMP NOT NULL
);
