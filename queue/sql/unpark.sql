-- Forgets that messages stood at a route where none does any more. Only of routes where nothing was parked for 5 minutes: by then every transaction
-- that parked has ended (their statements have a limit of seconds). Returns how many routes.
WITH empty AS (
    UPDATE mailroom.place p SET parked_at = NULL
     WHERE p.kind = 'route' AND p.parked_at < clock_timestamp() - interval '5 minutes'
       AND NOT EXISTS (SELECT FROM mailroom.queue q WHERE q.place_id = p.id) RETURNING 1)
SELECT count(*) FROM empty
