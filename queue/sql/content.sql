-- What the messages $2 (ids) of generation $1 carry, without their attachments.
SELECT c.id, c.recipients::text, c.reply_to::text, c.subject, c.headers::text, c.body_text, c.body_html, c.attachments,
       c.priority, c.calendar::text, c.unsubscribe::text
  FROM mailroom.content c WHERE c.generation = $1::smallint AND c.id = ANY ($2::bigint[])
