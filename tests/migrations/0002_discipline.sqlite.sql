--
-- Create model IdempotencyKey
--
CREATE TABLE "idempotency_key" (
    "message_id" CHAR(36) NOT NULL  PRIMARY KEY,
    "sender" VARCHAR(255) NOT NULL,
    "key" VARCHAR(255) NOT NULL,
    "fingerprint" VARCHAR(64) NOT NULL,
    "created_at" TIMESTAMP NOT NULL,
    CONSTRAINT "uid_idempotency_sender_8ffe2b" UNIQUE ("sender", "key")
);
--
-- Add field expires_at to Message
--
ALTER TABLE "message" ADD COLUMN "expires_at" TIMESTAMP
--
-- Add field collapse_key to Message
--
ALTER TABLE "message" ADD COLUMN "collapse_key" VARCHAR(255)
--
-- Add field expires_at to Delivery
--
ALTER TABLE "delivery" ADD COLUMN "expires_at" TIMESTAMP
--
-- Run SQL
--
CREATE INDEX delivery_expires ON delivery (expires_at) WHERE status = 'pending' AND expires_at IS NOT NULL
CREATE INDEX message_collapse ON message (topic, collapse_key, id) WHERE collapse_key IS NOT NULL
