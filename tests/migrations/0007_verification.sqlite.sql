--
-- Add field verify_every to Channel
--
ALTER TABLE "channel" ADD COLUMN "verify_every" VARCHAR(16)
--
-- Add field verify_due_at to ChannelState
--
ALTER TABLE "channel_state" ADD COLUMN "verify_due_at" TIMESTAMP
--
-- Add field verify_count to ChannelState
--
ALTER TABLE "channel_state" ADD COLUMN "verify_count" INT NOT NULL DEFAULT 0
--
-- Add field verified_at to ChannelState
--
ALTER TABLE "channel_state" ADD COLUMN "verified_at" TIMESTAMP
--
-- Add field verify_outcome to ChannelState
--
ALTER TABLE "channel_state" ADD COLUMN "verify_outcome" VARCHAR(16)
--
-- Add field verify_detail to ChannelState
--
ALTER TABLE "channel_state" ADD COLUMN "verify_detail" TEXT
--
-- Add field verify_duration_ms to ChannelState
--
ALTER TABLE "channel_state" ADD COLUMN "verify_duration_ms" INT
