--
-- Add field rate to Channel
--
ALTER TABLE "channel" ADD COLUMN "rate" VARCHAR(16)
--
-- Add field burst to Channel
--
ALTER TABLE "channel" ADD COLUMN "burst" INT
--
-- Add field breaker_failures to Channel
--
ALTER TABLE "channel" ADD COLUMN "breaker_failures" INT NOT NULL DEFAULT 20
--
-- Add field breaker_wait to Channel
--
ALTER TABLE "channel" ADD COLUMN "breaker_wait" VARCHAR(16) NOT NULL DEFAULT '30s'
--
-- Create model ChannelState
--
CREATE TABLE "channel_state" (
    "channel_id" UUID NOT NULL  PRIMARY KEY,
    "state" VARCHAR(16) NOT NULL DEFAULT 'active',
    "reason" VARCHAR(32),
    "detail" TEXT,
    "failure_count" INT NOT NULL DEFAULT 0,
    "changed_at" TIMESTAMPTZ,
    "probe_at" TIMESTAMPTZ,
    "probe_count" INT NOT NULL DEFAULT 0,
    "rate_due_at" TIMESTAMPTZ
);
--
-- Add field step_deadline_seconds to Topic
--
ALTER TABLE "topic" ADD COLUMN "step_deadline_seconds" INT NOT NULL DEFAULT 300
--
-- Add field redact to Topic
--
ALTER TABLE "topic" ADD COLUMN "redact" BOOL NOT NULL DEFAULT FALSE
--
-- Add field condition to TopicChannel
--
ALTER TABLE "topic_channel" ADD COLUMN "condition" JSONB
--
-- Add field redact to Message
--
ALTER TABLE "message" ADD COLUMN "redact" BOOL NOT NULL DEFAULT FALSE
--
-- Add field redacted_at to Message
--
ALTER TABLE "message" ADD COLUMN "redacted_at" TIMESTAMPTZ
--
-- Add field chained to Delivery
--
ALTER TABLE "delivery" ADD COLUMN "chained" BOOL NOT NULL DEFAULT FALSE
--
-- Add field replay_id to Delivery
--
ALTER TABLE "delivery" ADD COLUMN "replay_id" UUID
--
-- Create model Replay
--
CREATE TABLE "replay" (
    "id" UUID NOT NULL  PRIMARY KEY,
    "status" VARCHAR(16) NOT NULL,
    "filters" JSONB NOT NULL,
    "rate" VARCHAR(16),
    "total_count" INT NOT NULL,
    "resent_count" INT NOT NULL DEFAULT 0,
    "skipped_count" INT NOT NULL DEFAULT 0,
    "cursor" UUID,
    "until_id" UUID NOT NULL,
    "due_at" TIMESTAMPTZ NOT NULL,
    "requested_by" VARCHAR(255),
    "created_at" TIMESTAMPTZ NOT NULL,
    "finished_at" TIMESTAMPTZ
);
--
-- Run SQL
--
CREATE INDEX delivery_chain ON delivery (channel, due_at) WHERE status = 'pending' AND chained
CREATE INDEX delivery_suspect ON delivery (due_at) WHERE status = 'pending' AND death_count > 1
CREATE INDEX delivery_replay ON delivery (replay_id) WHERE replay_id IS NOT NULL
CREATE INDEX message_redact ON message (status) WHERE redact AND redacted_at IS NULL
CREATE INDEX replay_due ON replay (due_at) WHERE status = 'running'
