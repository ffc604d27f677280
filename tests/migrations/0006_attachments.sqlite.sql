--
-- Add field attachments to Message
--
ALTER TABLE "message" ADD COLUMN "attachments" JSON
--
-- Create model AttachmentContent
--
CREATE TABLE "attachment_content" (
    "sha256" VARCHAR(64) NOT NULL  PRIMARY KEY,
    "size" INT NOT NULL,
    "complete" INT NOT NULL DEFAULT 0,
    "touched_at" TIMESTAMP NOT NULL
);
--
-- Create model AttachmentChunk
--
CREATE TABLE "attachment_chunk" (
    "id" CHAR(36) NOT NULL  PRIMARY KEY,
    "position" SMALLINT NOT NULL,
    "data" BLOB NOT NULL,
    "content_id" VARCHAR(64) NOT NULL REFERENCES "attachment_content" ("sha256") ON DELETE CASCADE,
    CONSTRAINT "uid_attachment__content_cc81d4" UNIQUE ("content_id", "position")
);
--
-- Create model AttachmentUse
--
CREATE TABLE "attachment_use" (
    "id" CHAR(36) NOT NULL  PRIMARY KEY,
    "content_id" VARCHAR(64) NOT NULL REFERENCES "attachment_content" ("sha256") ON DELETE RESTRICT,
    "message_id" CHAR(36) NOT NULL REFERENCES "message" ("id") ON DELETE CASCADE,
    CONSTRAINT "uid_attachment__message_9fb172" UNIQUE ("message_id", "content_id")
);
--
-- Run SQL
--
CREATE INDEX attachment_use_content ON attachment_use (content_id)
CREATE INDEX attachment_content_touched ON attachment_content (touched_at)
