--
-- Create model Process
--
CREATE TABLE "process" (
    "id" UUID NOT NULL  PRIMARY KEY,
    "name" VARCHAR(300) NOT NULL,
    "role" VARCHAR(16) NOT NULL,
    "revisions" JSONB,
    "broken" JSONB,
    "started_at" TIMESTAMPTZ NOT NULL,
    "seen_at" TIMESTAMPTZ NOT NULL
);
