-- Who may do what. Producers reach functions only; the worker reaches what it moves; passwords leave the database only sealed.

-- No function of ours is for everybody: each grant below is meant. Not by default privileges: those of one schema cannot take this away, and
-- those of the owner would change what the ERP's own functions get. Every later migration that makes a function says this again.
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA mailroom FROM PUBLIC;

GRANT EXECUTE ON FUNCTION mailroom.enqueue(jsonb), mailroom.enqueue_many(jsonb, jsonb[]), mailroom.put_attachment(text, text, bytea), mailroom.state(uuid),
      mailroom.cancel(uuid), mailroom.cancel_batch(text), mailroom.hold_batch(text), mailroom.release_batch(text), mailroom.outcomes(text, integer)
   TO mailroom_producer, mailroom_mobile, mailroom_operator;

GRANT SELECT, INSERT, UPDATE, DELETE ON mailroom.queue, mailroom.dispatcher, mailroom.refused_login, mailroom.refused_sender, mailroom.recipient_result,
      mailroom.place, mailroom.route_usage TO mailroom_worker;
GRANT SELECT, INSERT ON mailroom.log, mailroom.story TO mailroom_worker;
GRANT SELECT ON mailroom.content, mailroom.attachment, mailroom.blob, mailroom.limits, mailroom.held_batch, mailroom.general, mailroom.users, mailroom.rows, mailroom.models, mailroom.installation, mailroom.migrations,
      mailroom.depth TO mailroom_worker;
GRANT UPDATE (settings_version) ON mailroom.installation TO mailroom_worker; -- also what FOR SHARE asks for
GRANT EXECUTE ON FUNCTION mailroom.settings_changed(text[]), mailroom.default_user_mode(mailroom.general), mailroom.state(uuid), mailroom.category(smallint, integer, integer, boolean),
      mailroom.lane_name(smallint), mailroom.end_unsent(smallint, bigint, text), mailroom.hand_back(bigint, timestamptz, integer), mailroom.grant_recipients(bigint, integer, integer, integer) TO mailroom_worker;

GRANT SELECT ON mailroom.depth, mailroom.queue, mailroom.place, mailroom.story, mailroom.log, mailroom.recipient_result, mailroom.dispatcher,
      mailroom.limits, mailroom.route_usage, mailroom.held_batch, mailroom.generation, mailroom.refused_login, mailroom.refused_sender, mailroom.rows, mailroom.models, mailroom.installation, mailroom.migrations TO mailroom_operator;
GRANT SELECT (generation, id, uid, recipients, reply_to, document, form_code, model_code, attachments) ON mailroom.content TO mailroom_operator; -- no subject, no body
GRANT EXECUTE ON FUNCTION mailroom.category(smallint, integer, integer, boolean), mailroom.lane_name(smallint), mailroom.probe(text)
   TO mailroom_operator, mailroom_administrator;
GRANT SELECT ON mailroom.migrations TO mailroom_producer, mailroom_mobile; -- what `mailroom send` looks at first

GRANT SELECT ON mailroom.general, mailroom.users, mailroom.rows, mailroom.models, mailroom.installation, mailroom.migrations, mailroom.refused_login,
      mailroom.refused_sender TO mailroom_administrator;
GRANT EXECUTE ON FUNCTION mailroom.default_user_mode(mailroom.general), mailroom.save_general(jsonb), mailroom.save_user(text, jsonb), mailroom.save_row(text, jsonb), mailroom.save_model(text, jsonb),
      mailroom.store_password(integer, text, bytea) TO mailroom_administrator;

GRANT EXECUTE ON FUNCTION mailroom.selected(jsonb, bigint, integer), mailroom.preview(text, jsonb, jsonb), mailroom.retry_messages(jsonb, jsonb, bigint, integer),
      mailroom.cancel_messages(jsonb, jsonb, bigint, integer), mailroom.hold_messages(jsonb, jsonb, bigint, integer),
      mailroom.release_messages(jsonb, jsonb, bigint, integer), mailroom.reassign_messages(jsonb, jsonb, bigint, integer) TO mailroom_operator;
GRANT EXECUTE ON FUNCTION mailroom.save_limits(text, text, jsonb), mailroom.remove_limits(text, text) TO mailroom_administrator;
GRANT SELECT ON mailroom.limits TO mailroom_administrator;
-- Upkeep.
GRANT EXECUTE ON FUNCTION mailroom.turn_ring(text, interval), mailroom.empty_generation(text, interval), mailroom.unpin_generation(interval, bigint),
      mailroom.forget_keys(interval, integer), mailroom.forget_places() TO mailroom_worker;
GRANT SELECT ON mailroom.generation, mailroom.generations, mailroom.pins TO mailroom_worker;
GRANT SELECT ON mailroom.generations, mailroom.pins TO mailroom_operator;
-- Events.
GRANT SELECT, INSERT, UPDATE, DELETE ON mailroom.events TO mailroom_worker;
GRANT SELECT ON mailroom.events TO mailroom_operator, mailroom_administrator;
GRANT EXECUTE ON FUNCTION mailroom.goes_on(timestamptz, timestamptz) TO mailroom_worker, mailroom_operator, mailroom_administrator;
GRANT EXECUTE ON FUNCTION mailroom.unseen_until(bigint[], bigint, timestamptz) TO mailroom_worker;
