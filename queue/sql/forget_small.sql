-- Forgets what is of no use any more and was never much: recipients granted more than 25 hours ago (no rolling day reaches so far; an hour's row counts
-- from its beginning), refusals of a From that was let go again a month ago (whoever is refused then starts with the shortest pause), decisions that nothing
-- in the history was made by, places of holds that nobody uses. Returns how many rows.
WITH usage AS (DELETE FROM mailroom.route_usage WHERE hour < clock_timestamp() - interval '26 hours' RETURNING 1),
refusals AS (DELETE FROM mailroom.refused_sender WHERE tried_again AND until < clock_timestamp() - interval '30 days' RETURNING 1),
decisions AS (
    DELETE FROM mailroom.decision WHERE id IN (
        SELECT id FROM mailroom.decision -- who decides so records it twice a day (service/decisions)
         WHERE seen_at < (SELECT min(opened_at) FROM mailroom.generation WHERE ring = 'history') - interval '2 days'
         ORDER BY id FOR UPDATE SKIP LOCKED) RETURNING 1)
SELECT (SELECT count(*) FROM usage) + (SELECT count(*) FROM refusals) + (SELECT count(*) FROM decisions) + mailroom.forget_places()
