-- How many messages of $1, an array of objects with uid and lease_no, have not come to that lease: lease numbers never fall, so the database is older.
SELECT count(*) FROM jsonb_to_recordset($1::jsonb) AS u(uid uuid, lease_no integer)
 WHERE EXISTS (SELECT FROM mailroom.content c JOIN mailroom.queue q ON q.id = c.id AND q.uid = c.uid WHERE c.uid = u.uid AND q.lease_no < u.lease_no)
