--
-- Create model Tally
--
CREATE TABLE "tally" (
    "id" CHAR(36) NOT NULL  PRIMARY KEY,
    "minute" TIMESTAMP NOT NULL,
    "topic" VARCHAR(64) NOT NULL,
    "channel" VARCHAR(64) NOT NULL,
    "outcome" VARCHAR(16) NOT NULL,
    "reason" VARCHAR(32) NOT NULL,
    "count" BIGINT NOT NULL,
    CONSTRAINT "uid_tally_minute_d2513b" UNIQUE ("minute", "topic", "channel", "outcome", "reason")
);
--
-- Add field version to Process
--
ALTER TABLE "process" ADD COLUMN "version" VARCHAR(64)
