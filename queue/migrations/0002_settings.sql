-- The mail settings (docs/rules.md): General, Users, Rows and Models, with their checks, which hold for every door.
-- What is incomplete may be saved; what is impossible is refused.

CREATE TABLE mailroom.general (
    singleton            boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    edition              text    NOT NULL DEFAULT 'on_premise',
    default_user_mode    text, -- NULL, never saved: outlook on premise, not_configured on cloud
    mode                 text    NOT NULL DEFAULT 'not_configured',
    mode_saved           boolean NOT NULL DEFAULT false, -- never again set by itself
    account              text    NOT NULL DEFAULT '',
    from_address         text    NOT NULL DEFAULT '',
    server               text    NOT NULL DEFAULT '',
    port                 integer NOT NULL DEFAULT 587,
    use_ssl              boolean NOT NULL DEFAULT true,
    login                boolean NOT NULL DEFAULT true,
    allow_cleartext      boolean NOT NULL DEFAULT false,
    user_server          text    NOT NULL DEFAULT '',
    user_port            integer NOT NULL DEFAULT 587,
    user_use_ssl         boolean NOT NULL DEFAULT true,
    user_login           boolean NOT NULL DEFAULT true,
    user_allow_cleartext boolean NOT NULL DEFAULT false,
    send_as              boolean NOT NULL DEFAULT false,
    password             bytea -- sealed
);
INSERT INTO mailroom.general DEFAULT VALUES;

CREATE TABLE mailroom.users (
    id              integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- never reused
    code            text    NOT NULL UNIQUE,
    name            text    NOT NULL DEFAULT '',
    enabled         boolean NOT NULL DEFAULT true,
    email           text    NOT NULL DEFAULT '',
    mode            text    NOT NULL DEFAULT 'same_as_general',
    account         text    NOT NULL DEFAULT '',
    from_address    text    NOT NULL DEFAULT '',
    server          text    NOT NULL DEFAULT '',
    port            integer NOT NULL DEFAULT 587,
    use_ssl         boolean NOT NULL DEFAULT true,
    login           boolean NOT NULL DEFAULT true,
    allow_cleartext boolean NOT NULL DEFAULT false,
    send_as         boolean NOT NULL DEFAULT false,
    password        bytea
);

CREATE TABLE mailroom.rows (
    id           integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    code         text NOT NULL UNIQUE,
    kind         text NOT NULL DEFAULT 'form',
    name         text NOT NULL DEFAULT '',
    from_address text NOT NULL DEFAULT '',
    mode         text NOT NULL DEFAULT 'not_configured'
);

CREATE TABLE mailroom.models (
    id           integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    code         text NOT NULL UNIQUE,
    name         text NOT NULL DEFAULT '',
    from_address text NOT NULL DEFAULT '',
    mode         text NOT NULL DEFAULT 'not_configured'
);

-- A login that its server refused, for all owners who hold the same one. The fingerprint is keyed and says nothing about the password.
CREATE TABLE mailroom.refused_login (
    fingerprint bytea PRIMARY KEY, -- HMAC-SHA-256 of server, login and password
    reason      text NOT NULL,     -- auth_failed or basic_login_ended
    account     text NOT NULL,     -- the login
    owner       text NOT NULL,     -- who met it first
    server      text NOT NULL,
    reply       text NOT NULL,
    since       timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- A From that a server does not let an account send as.
CREATE TABLE mailroom.refused_sender (
    mode         text NOT NULL,
    account      text NOT NULL, -- without an account: the server's name
    from_address text NOT NULL, -- lower case
    reply        text NOT NULL,
    since        timestamptz NOT NULL DEFAULT clock_timestamp(),
    times        integer NOT NULL DEFAULT 1,
    until        timestamptz NOT NULL DEFAULT clock_timestamp() + interval '1 hour', -- then it is tried again: the right is granted elsewhere
    tried_again  boolean NOT NULL DEFAULT false, -- what waits for it was released since
    PRIMARY KEY (mode, account, from_address)
);

-- Why `value` is no e-mail address (RFC 5321 Mailbox without quoted local part and address literal, UTF-8 by RFC 6531); NULL: it is one.
CREATE FUNCTION mailroom.address_problem(value text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE
        WHEN value = '' THEN 'the e-mail address is empty'
        WHEN octet_length(value) > 254 OR octet_length(split_part(value, '@', 1)) > 64
            THEN format('"%s" is too long for an e-mail address (64 octets before the @, 254 in all)', left(value, 60))
        WHEN value !~ ('^[A-Za-z0-9!#$%&''*+/=?^_`{|}~\u00A0-\U0010FFFF-]+(\.[A-Za-z0-9!#$%&''*+/=?^_`{|}~\u00A0-\U0010FFFF-]+)*'
                    || '@(?!-)[A-Za-z0-9\u00A0-\U0010FFFF-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9\u00A0-\U0010FFFF-]{1,63}(?<!-))*$')
          OR EXISTS (SELECT FROM regexp_split_to_table(split_part(value, '@', 2), '\.') label WHERE octet_length(label) > 63) -- octets, as config/address.cpp
            THEN format('"%s" is not an e-mail address', regexp_replace(left(value, 254), '[\u0001-\u001F\u007F-\u009F]', '?', 'g'))
    END
$$;

CREATE FUNCTION mailroom.default_user_mode(g mailroom.general) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(g.default_user_mode, CASE g.edition WHEN 'cloud' THEN 'not_configured' ELSE 'outlook' END)
$$;

CREATE FUNCTION mailroom.has_control(value text) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT value ~ '[\u0001-\u001F\u007F-\u009F]'
$$;

-- The address in `Name <address>` or in a bare address.
CREATE FUNCTION mailroom.address_of(value text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN right(btrim(value), 1) = '>' THEN btrim(substring(btrim(value) from '<([^<]*)>$')) ELSE btrim(value) END
$$;

-- What is wrong with one setting; NULL: nothing. `kind` is general, user, row or model.
CREATE FUNCTION mailroom.setting_problem(kind text, name text, value jsonb, edition text) RETURNS text LANGUAGE plpgsql STABLE AS $$
DECLARE
    setting constant text := kind || '.' || name;
    scalar constant text := btrim(value #>> '{}');
    modes text[];
BEGIN
    modes := CASE setting
        WHEN 'general.edition' THEN ARRAY['on_premise', 'cloud']
        WHEN 'general.default_user_mode' THEN ARRAY['not_configured', 'outlook', 'office365', 'smtp', 'other_client']
        WHEN 'general.mode' THEN ARRAY['not_configured', 'smtp', 'office365']
        WHEN 'user.mode' THEN ARRAY['same_as_general', 'outlook', 'office365', 'smtp', 'other_client']
        WHEN 'row.mode' THEN ARRAY['not_configured', 'outlook', 'general']
        WHEN 'model.mode' THEN ARRAY['not_configured', 'outlook', 'general']
        WHEN 'row.kind' THEN ARRAY['form', 'report', 'other']
    END;
    IF jsonb_typeof(value) NOT IN ('string', 'number', 'boolean') THEN
        RETURN 'must be a text, a number or true or false';
    ELSIF modes IS NOT NULL THEN
        IF scalar <> ALL (modes) THEN
            RETURN format('"%s" is none of %s', left(scalar, 60), array_to_string(modes, ', '));
        ELSIF edition = 'cloud' AND scalar IN ('outlook', 'other_client') THEN
            RETURN format('"%s" does not exist in the cloud edition', scalar);
        END IF;
    ELSIF name IN ('port', 'user_port') AND kind IN ('general', 'user') AND (kind = 'general' OR name = 'port') THEN
        IF scalar !~ '^[0-9]{1,5}$' OR scalar::integer NOT BETWEEN 1 AND 65535 THEN
            RETURN format('"%s" is not a port (1 to 65535)', left(scalar, 60));
        END IF;
    ELSIF name IN ('use_ssl', 'login', 'allow_cleartext', 'send_as') AND kind IN ('general', 'user')
       OR setting IN ('general.user_use_ssl', 'general.user_login', 'general.user_allow_cleartext', 'user.enabled') THEN
        IF lower(scalar) NOT IN ('true', 'false', 'yes', 'no') THEN
            RETURN format('"%s" is neither yes nor no', left(scalar, 60));
        END IF;
    ELSIF name = 'from' OR setting = 'user.email' THEN
        IF scalar <> '' THEN
            RETURN coalesce(mailroom.address_problem(coalesce(mailroom.address_of(scalar), '')),
                            CASE WHEN mailroom.has_control(scalar) THEN 'contains a control character'
                                 WHEN octet_length(scalar) > 600 THEN 'is longer than 600 octets' END);
        END IF;
    ELSIF name = 'account' AND kind IN ('general', 'user') OR name = 'name' AND kind <> 'general' THEN
        IF octet_length(scalar) > 254 OR mailroom.has_control(scalar) THEN
            RETURN 'is longer than 254 octets or contains a control character';
        END IF;
    ELSIF name = 'server' AND kind IN ('general', 'user') OR setting = 'general.user_server' THEN
        IF scalar !~ '^[A-Za-z0-9._:-]{0,253}$' THEN
            RETURN format('"%s" is not a host name', left(scalar, 60));
        END IF;
    ELSE
        RETURN format('%s has no such setting', kind);
    END IF;
    RETURN NULL;
END $$;

-- The settings as columns: checked as a whole, every problem named at once.
CREATE FUNCTION mailroom.checked_settings(kind text, settings jsonb) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
DECLARE
    edition text := coalesce(CASE WHEN kind = 'general' THEN btrim(settings ->> 'edition') END, (SELECT g.edition FROM mailroom.general g));
    problems text;
BEGIN
    IF jsonb_typeof(settings) IS DISTINCT FROM 'object' THEN
        RAISE EXCEPTION USING ERRCODE = 'MR002', MESSAGE = format('%s: the settings must be a JSON object', kind);
    END IF;
    SELECT string_agg(format('%s.%s: %s', kind, key, problem), E'\n' ORDER BY key) INTO problems
      FROM (SELECT key, mailroom.setting_problem(kind, key, value, edition) AS problem FROM jsonb_each(settings)) checked
     WHERE problem IS NOT NULL;
    IF problems IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'MR002', MESSAGE = problems, HINT = 'docs/configuration.md lists every setting with its values.';
    END IF;
    RETURN (SELECT coalesce(jsonb_object_agg(CASE key WHEN 'from' THEN 'from_address' ELSE key END, btrim(value #>> '{}')), '{}')
              FROM jsonb_each(settings));
END $$;

CREATE FUNCTION mailroom.checked_code(kind text, code text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF coalesce(btrim(code), '') = '' OR octet_length(btrim(code)) > 100 OR mailroom.has_control(code) THEN
        RAISE EXCEPTION USING ERRCODE = 'MR002', MESSAGE = format('%s: a code has 1 to 100 octets and no control characters', kind);
    END IF;
    RETURN btrim(code);
END $$;
