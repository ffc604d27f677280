--
-- Add field template to Channel
--
ALTER TABLE "channel" ADD COLUMN "template" JSONB
--
-- Add field template to Topic
--
ALTER TABLE "topic" ADD COLUMN "template" JSONB
--
-- Add field accept to Topic
--
ALTER TABLE "topic" ADD COLUMN "accept" JSONB
