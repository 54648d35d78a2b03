-- Moves the content of waiting messages, ids above $2, out of a generation that they keep from being emptied, by a retention of $1 milliseconds, where
-- empty ones are scarce. How many, and the $2 of the next step.
SELECT moved, last FROM mailroom.unpin_generation($1::bigint * interval '1 millisecond', $2::bigint)
