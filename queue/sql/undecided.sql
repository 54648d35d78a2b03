-- How many messages wait for an operator because a server or a dispatcher left them in doubt, by reason; counted up to 1,001.
SELECT p.reason, sum(few.messages)::bigint
  FROM mailroom.place p
 CROSS JOIN LATERAL (SELECT count(*) AS messages FROM (SELECT FROM mailroom.queue q WHERE q.place_id = p.id LIMIT 1001) counted) few
 WHERE p.kind = 'hold' AND p.reason IN ('in_doubt', 'quarantined') GROUP BY p.reason
