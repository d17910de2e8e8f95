-- Which key is in force is said by the content database (signing_key), in the transaction that puts the hand-over into the log: a key here may be one that never came into force.

COMMENT ON TABLE coop_key IS 'The secret halves of the keys that co-ops sign with, and of the instance''s later ones (under the nil id; its first is a file)';
COMMENT ON COLUMN coop_key.coop_id IS 'The co-op; the nil id: the instance';
ALTER TABLE coop_key ALTER COLUMN wrapped_seed DROP NOT NULL;
COMMENT ON COLUMN coop_key.wrapped_seed IS 'The seed, sealed under the instance''s master key; NULL once destroyed';
COMMENT ON COLUMN coop_key.retired_at IS 'When its seed was destroyed, after no backup could bring it into force again. The content database says which key is in force';
