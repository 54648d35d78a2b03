-- Dispatcher $1 with the token $2 is dead: its journal was found without it. $3: what of its messages is marked in the queue.
-- What it had is taken from it at once.
UPDATE mailroom.dispatcher SET is_dead = true, marks = $3 WHERE id = $1::bigint AND token = $2::uuid
