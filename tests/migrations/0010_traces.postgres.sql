--
-- Add field traceparent to Message
--
ALTER TABLE "message" ADD COLUMN "traceparent" VARCHAR(55)
