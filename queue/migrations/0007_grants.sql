-- Who may do what. Producers reach functions only; the worker reaches what it moves; passwords leave the database only sealed.

-- No function of ours is for everybody: each grant below is meant. Not by default privileges: those of one schema cannot take this away, and
-- those of the owner would change what the ERP's own functions get. Every later migration that makes a function says this again.
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA mailroom FROM PUBLIC;

GRANT EXECUTE ON FUNCTION mailroom.enqueue(jsonb), mailroom.state(uuid) TO mailroom_producer, mailroom_mobile, mailroom_operator;

GRANT SELECT, INSERT, UPDATE, DELETE ON mailroom.queue, mailroom.dispatcher, mailroom.refused_login, mailroom.refused_sender, mailroom.recipient_result,
      mailroom.place TO mailroom_worker;
GRANT SELECT, INSERT ON mailroom.log, mailroom.story TO mailroom_worker;
GRANT SELECT ON mailroom.content, mailroom.attachment, mailroom.general, mailroom.users, mailroom.rows, mailroom.models, mailroom.installation, mailroom.migrations,
      mailroom.depth TO mailroom_worker;
GRANT UPDATE (settings_version) ON mailroom.installation TO mailroom_worker; -- also what FOR SHARE asks for
GRANT EXECUTE ON FUNCTION mailroom.settings_changed(text[]), mailroom.default_user_mode(mailroom.general), mailroom.state(uuid), mailroom.category(smallint, integer, integer, boolean),
      mailroom.lane_name(smallint) TO mailroom_worker;

GRANT SELECT ON mailroom.depth, mailroom.queue, mailroom.place, mailroom.story, mailroom.log, mailroom.recipient_result, mailroom.dispatcher,
      mailroom.refused_login, mailroom.refused_sender, mailroom.rows, mailroom.models, mailroom.installation, mailroom.migrations TO mailroom_operator;
GRANT SELECT (id, uid, posted_by, recipients, reply_to, document, form_code, model_code, attachments) ON mailroom.content TO mailroom_operator; -- no subject, no body
GRANT EXECUTE ON FUNCTION mailroom.category(smallint, integer, integer, boolean), mailroom.lane_name(smallint), mailroom.probe(text)
   TO mailroom_operator, mailroom_administrator;
GRANT SELECT ON mailroom.migrations TO mailroom_producer, mailroom_mobile; -- what `mailroom send` looks at first

GRANT SELECT ON mailroom.general, mailroom.users, mailroom.rows, mailroom.models, mailroom.installation, mailroom.migrations, mailroom.refused_login,
      mailroom.refused_sender TO mailroom_administrator;
GRANT EXECUTE ON FUNCTION mailroom.default_user_mode(mailroom.general), mailroom.save_general(jsonb), mailroom.save_user(text, jsonb), mailroom.save_row(text, jsonb), mailroom.save_model(text, jsonb),
      mailroom.store_password(integer, text, bytea) TO mailroom_administrator;
