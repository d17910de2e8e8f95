-- A home's later word on how long one of its items is kept back replaces the one before.

ALTER TABLE onward_word ADD COLUMN over boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN onward_word.over IS 'An embargo that its home ended before its day, by a later line of its feed';
CREATE INDEX onward_word_of_embargo ON onward_word (coop_id, home, id) WHERE kind = 'embargo';
