-- What operators were told, as JSON, the newest last, at most $3: what is open; with $1 also what has ended; where $2 is not NULL, what was open at some
-- time in so long an interval.
SELECT jsonb_build_object('events', coalesce(jsonb_agg(to_jsonb(e) - 'seen_by' || jsonb_build_object('age', extract(epoch FROM clock_timestamp() - since)::bigint)
                                                       ORDER BY since, id, subject), '[]'))::text
  FROM (SELECT *, mailroom.goes_on(until, NULL) AS open FROM mailroom.events
         WHERE (mailroom.goes_on(until, NULL) OR $1::boolean OR $2::interval IS NOT NULL)
           AND (until IS NULL OR $2::interval IS NULL OR until > clock_timestamp() - $2::interval)
         ORDER BY since DESC, id, subject LIMIT $3::integer) e
