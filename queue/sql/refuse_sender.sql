-- Stops a pair of account and From for 1, 2, 4 ... at most 24 hours. $1 mode, $2 account or server, $3 From, $4 reply, $5 key of the place where it is held.
-- Returns one row if it was not stopped yet.
INSERT INTO mailroom.refused_sender AS r (mode, account, from_address, reply, place_key) VALUES ($1, $2, mailroom.ascii_lower($3), $4, $5)
ON CONFLICT (mode, account, from_address) DO UPDATE
   SET reply = excluded.reply, times = r.times + 1, tried_again = false, place_key = excluded.place_key, trial = NULL, trial_uid = NULL,
       until = clock_timestamp() + least(interval '1 hour' * 2 ^ least(r.times, 10), interval '24 hours')
 WHERE r.until <= clock_timestamp()
RETURNING mailroom.settings_changed('{}'::text[])
