-- Keeps why messages are decided as they are; $1 an array of objects: id, why (queue/decision_store). In one order, as all who lock several of them do.
INSERT INTO mailroom.decision (id, why)
SELECT DISTINCT ON (d.id) d.id, d.why FROM jsonb_to_recordset($1::jsonb) AS d(id bigint, why jsonb) ORDER BY d.id
ON CONFLICT (id) DO UPDATE SET seen_at = clock_timestamp()
