--
-- Create model Channel
--
CREATE TABLE "channel" (
    "id" UUID NOT NULL  PRIMARY KEY,
    "name" VARCHAR(64) NOT NULL UNIQUE,
    "plugin" VARCHAR(200) NOT NULL,
    "settings" JSONB NOT NULL,
    "enabled" BOOL NOT NULL,
    "timeout_seconds" DOUBLE PRECISION NOT NULL,
    "retry_schedule" JSONB NOT NULL,
    "concurrency" SMALLINT NOT NULL,
    "on_unknown" VARCHAR(8) NOT NULL,
    "revision" BIGINT NOT NULL,
    "created_at" TIMESTAMPTZ NOT NULL,
    "updated_at" TIMESTAMPTZ NOT NULL
);
--
-- Create model Configuration
--
CREATE TABLE "configuration" (
    "id" SMALLINT NOT NULL  PRIMARY KEY,
    "revision" BIGINT NOT NULL
);
--
-- Create model Message
--
CREATE TABLE "message" (
    "id" UUID NOT NULL  PRIMARY KEY,
    "topic" VARCHAR(64),
    "status" VARCHAR(16) NOT NULL,
    "title" TEXT,
    "description" TEXT NOT NULL,
    "format" VARCHAR(16) NOT NULL,
    "priority" SMALLINT NOT NULL,
    "tags" JSONB NOT NULL,
    "data" JSONB NOT NULL,
    "recipients" JSONB NOT NULL,
    "reference" VARCHAR(255),
    "metadata" JSONB NOT NULL,
    "sender" VARCHAR(255),
    "send_at" TIMESTAMPTZ,
    "created_at" TIMESTAMPTZ NOT NULL
);
--
-- Create model Delivery
--
CREATE TABLE "delivery" (
    "id" UUID NOT NULL  PRIMARY KEY,
    "channel" VARCHAR(64) NOT NULL,
    "position" SMALLINT NOT NULL,
    "status" VARCHAR(16) NOT NULL,
    "reason" VARCHAR(32),
    "priority" SMALLINT NOT NULL,
    "due_at" TIMESTAMPTZ NOT NULL,
    "attempt_number" INT NOT NULL,
    "retry_step" SMALLINT NOT NULL,
    "death_count" SMALLINT NOT NULL,
    "token" UUID,
    "started_at" TIMESTAMPTZ,
    "lease_until" TIMESTAMPTZ,
    "cancel_reason" VARCHAR(32),
    "reference" VARCHAR(255),
    "resend_of" UUID,
    "created_at" TIMESTAMPTZ NOT NULL,
    "finished_at" TIMESTAMPTZ,
    "message_id" UUID NOT NULL REFERENCES "message" ("id") ON DELETE CASCADE
);
--
-- Create model Attempt
--
CREATE TABLE "attempt" (
    "id" UUID NOT NULL  PRIMARY KEY,
    "message_id" UUID NOT NULL,
    "number" INT NOT NULL,
    "outcome" VARCHAR(16) NOT NULL,
    "error" TEXT,
    "reference" VARCHAR(255),
    "detail" TEXT,
    "started_at" TIMESTAMPTZ NOT NULL,
    "finished_at" TIMESTAMPTZ NOT NULL,
    "duration_ms" INT NOT NULL,
    "late" BOOL NOT NULL,
    "delivery_id" UUID NOT NULL REFERENCES "delivery" ("id") ON DELETE CASCADE
);
--
-- Create model Topic
--
CREATE TABLE "topic" (
    "id" UUID NOT NULL  PRIMARY KEY,
    "name" VARCHAR(64) NOT NULL UNIQUE,
    "strategy" VARCHAR(16) NOT NULL,
    "enabled" BOOL NOT NULL,
    "created_at" TIMESTAMPTZ NOT NULL,
    "updated_at" TIMESTAMPTZ NOT NULL
);
--
-- Create model TopicChannel
--
CREATE TABLE "topic_channel" (
    "id" UUID NOT NULL  PRIMARY KEY,
    "position" SMALLINT NOT NULL,
    "channel_id" UUID NOT NULL REFERENCES "channel" ("id") ON DELETE RESTRICT,
    "topic_id" UUID NOT NULL REFERENCES "topic" ("id") ON DELETE CASCADE,
    CONSTRAINT "uid_topic_chann_topic_i_1ac713" UNIQUE ("topic_id", "channel_id")
);
--
-- Run SQL
--
CREATE INDEX topic_channel_channel ON topic_channel (channel_id)
CREATE INDEX delivery_due ON delivery (channel, priority, due_at) WHERE status = 'pending'
CREATE INDEX delivery_lease ON delivery (lease_until) WHERE status = 'sending'
CREATE INDEX delivery_message ON delivery (message_id)
CREATE INDEX delivery_channel ON delivery (channel, id)
CREATE INDEX delivery_status ON delivery (status, id)
CREATE INDEX delivery_resend ON delivery (resend_of) WHERE resend_of IS NOT NULL
CREATE INDEX attempt_delivery ON attempt (delivery_id)
CREATE INDEX attempt_message ON attempt (message_id)
CREATE INDEX message_topic ON message (topic, id)
CREATE INDEX message_status ON message (status, id)
CREATE INDEX message_reference ON message (reference, id) WHERE reference IS NOT NULL
--
-- Run SQL
--
INSERT INTO configuration (id, revision) VALUES (1, 1)
