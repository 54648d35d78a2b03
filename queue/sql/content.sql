-- What the messages $1 (ids) carry, without their attachments' bytes.
SELECT c.id, c.recipients::text, c.reply_to::text, c.subject, c.headers::text, c.body_text, c.body_html, c.attachments
  FROM mailroom.content c WHERE c.id = ANY ($1::bigint[])
