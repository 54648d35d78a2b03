-- The schema, its roles and the one row that says which installation this database is.
-- Group roles belong to the whole server and are shared by its installations; a login becomes a member of one or more.

CREATE FUNCTION mailroom.ensure_role(role text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) THEN
        EXECUTE format('CREATE ROLE %I NOLOGIN', role);
    END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
    NULL; -- another installation's migration was quicker
END $$;

SELECT mailroom.ensure_role(role)
  FROM unnest(ARRAY['mailroom_producer', 'mailroom_mobile', 'mailroom_worker', 'mailroom_operator', 'mailroom_administrator']) role;

DROP FUNCTION mailroom.ensure_role(text);

REVOKE ALL ON SCHEMA mailroom FROM PUBLIC;
GRANT USAGE ON SCHEMA mailroom
   TO mailroom_producer, mailroom_mobile, mailroom_worker, mailroom_operator, mailroom_administrator;

CREATE TABLE mailroom.installation (
    singleton        boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    name             text,                              -- NULL until the first `mailroom migrate` names it
    server           text,                              -- where it was made or adopted, by present_server(): a copy is elsewhere
    settings_version bigint NOT NULL DEFAULT 1,         -- raised in every transaction that changes a setting or a status
    max_message_size integer NOT NULL DEFAULT 26214400, -- octets of text, HTML and attachments together: 25 MiB, what most servers take
    max_recipients   integer NOT NULL DEFAULT 1000,     -- of one message, to, cc and bcc together
    content_generation smallint NOT NULL DEFAULT 0,     -- where enqueue writes
    history_generation smallint NOT NULL DEFAULT 0      -- where what happens is written
);
INSERT INTO mailroom.installation DEFAULT VALUES;

-- The server that this database is on, and which of its databases it is. A physical copy of the whole server has the same, as a standby must.
-- NULL: this login may not see it.
CREATE FUNCTION mailroom.present_server() RETURNS text LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN (SELECT format('%s/%s', c.system_identifier, d.oid) FROM pg_control_system() c CROSS JOIN pg_database d WHERE d.datname = current_database());
EXCEPTION WHEN insufficient_privilege THEN
    RETURN NULL;
END $$;
