-- A destroyed key's old row version must not lie about until some threshold is reached: each one makes the table due for the next round of autovacuum.
ALTER TABLE member_key SET (autovacuum_vacuum_threshold = 0, autovacuum_vacuum_scale_factor = 0);
