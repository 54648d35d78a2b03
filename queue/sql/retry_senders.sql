-- Lets the pairs of account and From whose time is over be tried again. Returns how many.
WITH due AS (
    UPDATE mailroom.refused_sender SET tried_again = true WHERE until <= clock_timestamp() AND NOT tried_again RETURNING account)
SELECT count(*), CASE WHEN count(*) > 0 THEN mailroom.settings_changed(NULL) END FROM due
