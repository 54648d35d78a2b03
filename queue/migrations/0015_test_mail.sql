-- Send Test Email (docs/rules.md): what was tested, and what a good test sets right.

CREATE TABLE mailroom.test_mail (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at              timestamptz NOT NULL DEFAULT clock_timestamp(),
    by_login        text    NOT NULL DEFAULT session_user,
    pressed_by      text    NOT NULL, -- the ERP user's code; empty: nobody was named
    place           text    NOT NULL, -- general, user ANNA, form INV, model TRUCK, me ANNA
    outcome         text    NOT NULL CHECK (outcome IN ('accepted', 'refused', 'held', 'in_doubt')),
    counts          boolean NOT NULL, -- all values were the stored ones
    table_row       text    NOT NULL,
    mode            text    NOT NULL,
    account         text    NOT NULL,
    from_address    text    NOT NULL,
    sender          text    NOT NULL,
    envelope_sender text    NOT NULL,
    recipient       text    NOT NULL,
    server          text    NOT NULL,
    message_id      text    NOT NULL,
    words           text    NOT NULL, -- the server's, or the hold's
    steps           jsonb   NOT NULL
);

-- Appends one test; the tests of more than 400 days ago go.
CREATE FUNCTION mailroom.record_test(test jsonb) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = mailroom, pg_temp AS $$
DECLARE
    own bigint;
BEGIN
    DELETE FROM test_mail WHERE at < clock_timestamp() - interval '400 days';
    INSERT INTO test_mail (pressed_by, place, outcome, counts, table_row, mode, account, from_address, sender, envelope_sender, recipient, server, message_id, words, steps)
    SELECT t.pressed_by, t.place, t.outcome, t.counts, t.table_row, t.mode, t.account, t."from", t.sender, t.envelope_sender, t."to", t.server, t.message_id, t.words, t.steps
      FROM jsonb_to_record(test) AS t(pressed_by text, place text, outcome text, counts boolean, table_row text, mode text, account text, "from" text, sender text,
                                      envelope_sender text, "to" text, server text, message_id text, words text, steps jsonb)
    RETURNING id INTO own;
    RETURN own;
END $$;

-- A server took a test mail whose values were all stored: its login and its pair of account and From are refused no more, and what waited for them goes on.
-- `owner` is general or user:ID. Returns whether a refusal was known.
CREATE FUNCTION mailroom.test_was_good(login bytea, host text, pair_mode text, pair_account text, pair_from text, owner text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = mailroom, pg_temp AS $$
DECLARE
    logins integer;
    pairs integer;
BEGIN
    DELETE FROM refused_login r WHERE r.fingerprint = test_was_good.login
        OR r.reason = 'basic_login_ended' AND r.account = pair_account AND ascii_lower(r.server) = ascii_lower(host); -- whatever the password
    GET DIAGNOSTICS logins = ROW_COUNT;
    DELETE FROM refused_sender r WHERE r.mode = pair_mode AND r.account = pair_account AND r.from_address = ascii_lower(pair_from);
    GET DIAGNOSTICS pairs = ROW_COUNT;
    -- Others may hold the same login, or send as the same address.
    PERFORM settings_changed(CASE WHEN logins + pairs = 0 THEN ARRAY[owner] END);
    RETURN logins + pairs > 0;
END $$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA mailroom FROM PUBLIC;
GRANT EXECUTE ON FUNCTION mailroom.record_test(jsonb), mailroom.test_was_good(bytea, text, text, text, text, text) TO mailroom_administrator;
GRANT SELECT ON mailroom.test_mail TO mailroom_administrator;
-- A bad test pauses the account as a message would.
GRANT INSERT ON mailroom.refused_login TO mailroom_administrator;
GRANT INSERT, UPDATE ON mailroom.refused_sender TO mailroom_administrator;
GRANT EXECUTE ON FUNCTION mailroom.settings_changed(text[]) TO mailroom_administrator;
