-- Lets go what is held in the place $1 now.
UPDATE mailroom.place SET release_before = clock_timestamp() WHERE id = $1::integer
