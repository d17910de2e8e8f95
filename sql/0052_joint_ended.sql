-- A joint release that one of the two co-ops withdraws ends with all that was made of it.

ALTER TABLE release_joint ADD COLUMN ended_at timestamptz;
COMMENT ON COLUMN release_joint.ended_at IS 'When one of the two withdrew it for good: from then on nothing of it is published, or made of it';
