--
-- Add field template to Channel
--
ALTER TABLE "channel" ADD COLUMN "template" JSON
--
-- Add field template to Topic
--
ALTER TABLE "topic" ADD COLUMN "template" JSON
--
-- Add field accept to Topic
--
ALTER TABLE "topic" ADD COLUMN "accept" JSON
