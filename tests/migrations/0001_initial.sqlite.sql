--
-- Create model Channel
--
CREATE TABLE "channel" (
    "id" CHAR(36) NOT NULL  PRIMARY KEY,
    "name" VARCHAR(64) NOT NULL UNIQUE,
    "plugin" VARCHAR(200) NOT NULL,
    "settings" JSON NOT NULL,
    "enabled" INT NOT NULL,
    "timeout_seconds" REAL NOT NULL,
    "retry_schedule" JSON NOT NULL,
    "concurrency" SMALLINT NOT NULL,
    "on_unknown" VARCHAR(8) NOT NULL,
    "revision" BIGINT NOT NULL,
    "created_at" TIMESTAMP NOT NULL,
    "updated_at" TIMESTAMP NOT NULL
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
    "id" CHAR(36) NOT NULL  PRIMARY KEY,
    "topic" VARCHAR(64),
    "status" VARCHAR(16) NOT NULL,
    "title" TEXT,
    "description" TEXT NOT NULL,
    "format" VARCHAR(16) NOT NULL,
    "priority" SMALLINT NOT NULL,
    "tags" JSON NOT NULL,
    "data" JSON NOT NULL,
    "recipients" JSON NOT NULL,
    "reference" VARCHAR(255),
    "metadata" JSON NOT NULL,
    "sender" VARCHAR(255),
    "send_at" TIMESTAMP,
    "created_at" TIMESTAMP NOT NULL
);
--
-- Create model Delivery
--
CREATE TABLE "delivery" (
    "id" CHAR(36) NOT NULL  PRIMARY KEY,
    "channel" VARCHAR(64) NOT NULL,
    "position" SMALLINT NOT NULL,
    "status" VARCHAR(16) NOT NULL,
    "reason" VARCHAR(32),
    "priority" SMALLINT NOT NULL,
    "due_at" TIMESTAMP NOT NULL,
    "attempt_number" INT NOT NULL,
    "retry_step" SMALLINT NOT NULL,
    "death_count" SMALLINT NOT NULL,
    "token" CHAR(36),
    "started_at" TIMESTAMP,
    "lease_until" TIMESTAMP,
    "cancel_reason" VARCHAR(32),
    "reference" VARCHAR(255),
    "resend_of" CHAR(36),
    "created_at" TIMESTAMP NOT NULL,
    "finished_at" TIMESTAMP,
    "message_id" CHAR(36) NOT NULL REFERENCES "message" ("id") ON DELETE CASCADE
);
--
-- Create model Attempt
--
CREATE TABLE "attempt" (
    "id" CHAR(36) NOT NULL  PRIMARY KEY,
    "message_id" CHAR(36) NOT NULL,
    "number" INT NOT NULL,
    "outcome" VARCHAR(16) NOT NULL,
    "error" TEXT,
    "reference" VARCHAR(255),
    "detail" TEXT,
    "started_at" TIMESTAMP NOT NULL,
    "finished_at" TIMESTAMP NOT NULL,
    "duration_ms" INT NOT NULL,
    "late" INT NOT NULL,
    "delivery_id" CHAR(36) NOT NULL REFERENCES "delivery" ("id") ON DELETE CASCADE
);
--
-- Create model Topic
--
CREATE TABLE "topic" (
    "id" CHAR(36) NOT NULL  PRIMARY KEY,
    "name" VARCHAR(64) NOT NULL UNIQUE,
    "strategy" VARCHAR(16) NOT NULL,
    "enabled" INT NOT NULL,
    "created_at" TIMESTAMP NOT NULL,
    "updated_at" TIMESTAMP NOT NULL
);
--
-- Create model TopicChannel
--
CREATE TABLE "topic_channel" (
    "id" CHAR(36) NOT NULL  PRIMARY KEY,
    "position" SMALLINT NOT NULL,
    "channel_id" CHAR(36) NOT NULL REFERENCES "channel" ("id") ON DELETE RESTRICT,
    "topic_id" CHAR(36) NOT NULL REFERENCES "topic" ("id") ON DELETE CASCADE,
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
