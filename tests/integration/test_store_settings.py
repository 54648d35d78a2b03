"""The doors through which settings are saved: what they refuse, what they do besides, and whom they release."""

import json

import pytest

from store import refused

GENERAL_DEFAULTS = {
    "edition": "on_premise", "default_user_mode": None, "mode": "not_configured", "account": "", "from_address": "", "server": "", "port": 587,
    "use_ssl": True, "login": True, "allow_cleartext": False, "user_server": "", "user_port": 587, "user_use_ssl": True, "user_login": True,
    "user_allow_cleartext": False, "send_as": False, "password": None}
USER_DEFAULTS = {
    "name": "", "enabled": True, "email": "", "mode": "same_as_general", "account": "", "from_address": "", "server": "", "port": 587, "use_ssl": True,
    "login": True, "allow_cleartext": False, "send_as": False, "password": None}

IMPOSSIBLE = [
    # kind, settings, what is said
    ("general", {"edition": "mars"}, "general.edition: \"mars\" is none of on_premise, cloud"),
    ("general", {"mode": "outlook"}, "general.mode: \"outlook\" is none of not_configured, smtp, office365"),
    ("general", {"default_user_mode": "same_as_general"}, "general.default_user_mode: "),
    ("user", {"mode": "not_configured"}, "user.mode: "), ("user", {"mode": "SMTP"}, "user.mode: "),
    ("row", {"mode": "smtp"}, "row.mode: \"smtp\" is none of not_configured, outlook, general"), ("model", {"mode": "office365"}, "model.mode: "),
    ("row", {"kind": "letter"}, "row.kind: "), ("model", {"kind": "form"}, "model.kind: model has no such setting"),
    ("general", {"port": 0}, "general.port: \"0\" is not a port (1 to 65535)"), ("user", {"port": 65536}, "user.port: "), ("user", {"port": -1}, "user.port: "),
    ("user", {"port": 25.5}, "user.port: "), ("user", {"port": True}, "user.port: "), ("general", {"user_port": "smtp"}, "general.user_port: "),
    ("general", {"port": ""}, "general.port: "), ("user", {"user_port": 25}, "user.user_port: user has no such setting"),
    ("general", {"use_ssl": "perhaps"}, "general.use_ssl: \"perhaps\" is neither yes nor no"), ("user", {"login": 1}, "user.login: "),
    ("user", {"enabled": ""}, "user.enabled: "), ("general", {"enabled": True}, "general.enabled: general has no such setting"),
    ("user", {"email": "none"}, "user.email: \"none\" is not an e-mail address"), ("user", {"from_": "Anna <none>"}, "user.from: "),
    ("general", {"from_": "a@b.c\r\nBcc: x@y.z"}, "general.from: "), ("row", {"from_": "Office\n <a@b.c>"}, "row.from: contains a control character"),
    ("row", {"from_": "x" * 9000 + " <a@b.c>"}, "row.from: "),
    ("user", {"account": "a\nb"}, "user.account: is longer than 254 octets or contains a control character"), ("user", {"account": "x" * 255}, "user.account: "),
    ("row", {"account": "erp"}, "row.account: row has no such setting"), ("user", {"name": "a\x00b".replace("\x00", "\x01")}, "user.name: "),
    ("general", {"name": "x"}, "general.name: general has no such setting"),
    ("general", {"server": "mail server"}, "general.server: \"mail server\" is not a host name"), ("user", {"server": "mail.test/x"}, "user.server: "),
    ("general", {"user_server": "ä.test"}, "general.user_server: "), ("user", {"server": "a\r\nb"}, "user.server: "),
    ("general", {"password": "secret"}, "general.password: general has no such setting"), ("user", {"id": 1}, "user.id: "),
    ("user", {"from_address": "a@b.c"}, "user.from_address: user has no such setting"), ("general", {"mode_saved": False}, "general.mode_saved: "),
    ("general", {"singleton": True}, "general.singleton: "), ("user", {"code": "BEN"}, "user.code: "),
    ("user", {"mode": None}, "user.mode: must be a text, a number or true or false"), ("user", {"email": ["a@b.c"]}, "user.email: must be a text"),
]


def save(session, kind, /, **settings):
    return session.save(kind, *([] if kind == "general" else ["X"]), **settings)


def general(store):
    return store.root.rows("SELECT * FROM mailroom.general")[0]


def user(store, code="ANNA"):
    return store.root.rows("SELECT * FROM mailroom.users WHERE code = %s", code)[0]


def names_of(items):
    return [f"{item[0]}-{next(iter(item[1]))}-{next(iter(item[1].values()))}"[:50].encode("ascii", "backslashreplace").decode() for item in items]


@pytest.mark.parametrize("kind, settings, said", IMPOSSIBLE, ids=names_of(IMPOSSIBLE))
def test_an_impossible_value_is_refused_with_its_setting(shared_store, kind, settings, said):
    with refused("MR002", said):
        save(shared_store.administrator, kind, **settings)


def test_every_problem_is_named_at_once_and_nothing_is_saved(shared_store):
    before = general(shared_store)
    with refused("MR002", "general.colour: general has no such setting", "general.mode: ", "general.port: ", "general.server: "):
        shared_store.administrator.save("general", account="new", mode="x", port=0, server="a b", colour="red")
    assert general(shared_store) == before


@pytest.mark.parametrize("code", ["", "  ", None, "x" * 101, "a\nb"])
def test_a_code_that_is_none_is_refused(shared_store, code):
    for kind in ("user", "row", "model"):
        with refused("MR002", f"{kind}: a code has 1 to 100 octets"):
            shared_store.administrator.save(kind, code)


@pytest.mark.parametrize("settings", ["null", "[]", "7", '"text"'])
def test_settings_that_are_no_object_are_refused(shared_store, settings):
    for call in ("save_general(%s)", "save_user('X', %s)", "save_row('X', %s)", "save_model('X', %s)"):
        with refused("MR002", "the settings must be a JSON object"):
            shared_store.administrator.rows(f"SELECT mailroom.{call}", settings)


def test_the_defaults_are_those_of_the_rules(store):
    for kind in ("user", "row", "model"):
        store.administrator.save(kind, "ANNA")
    assert {key: general(store)[key] for key in GENERAL_DEFAULTS} == GENERAL_DEFAULTS
    assert {key: user(store)[key] for key in USER_DEFAULTS} == USER_DEFAULTS
    assert store.root.rows("SELECT code, kind, name, from_address, mode FROM mailroom.rows") == [
        {"code": "ANNA", "kind": "form", "name": "", "from_address": "", "mode": "not_configured"}]
    assert store.root.rows("SELECT code, name, from_address, mode FROM mailroom.models") == [
        {"code": "ANNA", "name": "", "from_address": "", "mode": "not_configured"}]


def test_what_is_not_named_stays_as_it_was(store):
    store.administrator.save("user", "ANNA", email="anna@example.test", mode="office365", port="2525", use_ssl="No", from_=" Anna <anna@b.test> ")
    store.administrator.save("user", " ANNA ", name="Anna Berg")
    saved = user(store)
    assert (saved["email"], saved["mode"], saved["port"], saved["use_ssl"], saved["from_address"], saved["name"]) == (
        "anna@example.test", "office365", 2525, False, "Anna <anna@b.test>", "Anna Berg")
    assert store.root.value("SELECT count(*) FROM mailroom.users") == 1


def test_incomplete_settings_may_be_saved(store):
    store.administrator.save("general", mode="smtp")
    store.administrator.save("row", "INVOICE", mode="general")
    assert general(store)["server"] == ""


# The cloud edition

def test_the_users_default_mode_follows_the_edition_until_it_is_saved(store):
    def default_mode():
        return json.loads(store.administrator.row("accounts")[0])["general"]["default_user_mode"]

    found = [default_mode()]
    for settings in ({"edition": "cloud"}, {"default_user_mode": "smtp"}, {"edition": "on_premise"}):
        store.administrator.save("general", **settings)
        found.append(default_mode())
    assert found == ["outlook", "not_configured", "smtp", "smtp"]


@pytest.mark.parametrize("kind, name, values", [("general", "default_user_mode", ["outlook", "other_client"]), ("user", "mode", ["outlook", "other_client"]),
                                                ("row", "mode", ["outlook"]), ("model", "mode", ["outlook"])])
def test_the_cloud_edition_refuses_desktop_modes(store, kind, name, values):
    store.administrator.save("general", edition="cloud")
    for value in values:
        with refused("MR002", f"{kind}.{name}: \"{value}\" does not exist in the cloud edition"):
            save(store.administrator, kind, **{name: value})
    save(store.administrator, kind, **{name: "general" if kind in ("row", "model") else "smtp"})


@pytest.mark.parametrize("edition", ["cloud", " cloud "])
def test_the_edition_that_is_being_saved_counts(store, edition):
    with refused("MR002", "does not exist in the cloud edition"):
        store.administrator.save("general", edition=edition, default_user_mode="outlook")
    store.administrator.save("general", edition="cloud")
    store.administrator.save("general", edition="on_premise", default_user_mode="outlook")


def test_changing_to_the_cloud_edition_alters_no_stored_value(store):
    store.administrator.save("user", "ANNA", mode="outlook")
    store.administrator.save("general", default_user_mode="other_client")
    store.administrator.save("general", edition="cloud", confirm=True)
    assert (user(store)["mode"], general(store)["default_user_mode"]) == ("outlook", "other_client")


# What saving does besides

def test_the_first_smtp_default_makes_the_shared_account_smtp_and_never_again(store):
    store.administrator.save("general", default_user_mode="smtp")
    assert general(store)["mode"] == "smtp"
    store.administrator.save("general", mode="not_configured")
    store.administrator.save("general", default_user_mode="outlook")
    store.administrator.save("general", default_user_mode="smtp")
    assert general(store)["mode"] == "not_configured"


@pytest.mark.parametrize("mode", ["not_configured", "office365"])
def test_a_shared_mode_that_was_saved_is_not_overruled_by_the_default(store, mode):
    store.administrator.save("general", mode=mode)
    store.administrator.save("general", default_user_mode="smtp")
    assert general(store)["mode"] == mode


def test_a_shared_mode_saved_together_with_the_default_counts(store):
    store.administrator.save("general", mode="office365", default_user_mode="smtp")
    assert general(store)["mode"] == "office365"


SERVER = ("server", "port", "use_ssl", "login", "allow_cleartext")


@pytest.mark.parametrize("inherited, expected", [
    ({"server": "own.test", "port": 26, "use_ssl": False, "login": False, "allow_cleartext": True}, ("own.test", 26, False, False, True)),
    ({"server": "own.test", "port": 26, "user_server": "users.test", "user_port": 27, "user_login": False}, ("users.test", 27, True, False, False)),
    ({"server": "own.test", "port": 26, "user_port": 27, "user_login": False}, ("own.test", 26, True, True, False)),
    ({"server": "own.test", "mode": "office365"}, ("own.test", 587, True, True, False))])
def test_a_user_saved_as_smtp_without_a_server_gets_the_inherited_group(store, inherited, expected):
    store.administrator.save("general", **inherited)
    store.administrator.save("user", "ANNA", mode="smtp")
    store.administrator.save("general", server="later.test", user_server="later.test", user_port=99)
    assert tuple(user(store)[name] for name in SERVER) == expected


def test_a_users_own_server_is_not_overwritten_by_the_inherited_one(store):
    store.administrator.save("general", server="own.test", port=26)
    store.administrator.save("user", "ANNA", mode="smtp", server="annas.test", port=2525)
    store.administrator.save("user", "ANNA", mode="same_as_general")
    store.administrator.save("user", "ANNA", mode="smtp")
    assert (user(store)["server"], user(store)["port"]) == ("annas.test", 2525)


def test_port_465_without_tls_is_advised_against(store):
    assert "465" in store.administrator.save("general", port=465, use_ssl=False)[0]
    assert "465" in store.administrator.save("user", "ANNA", port=465, use_ssl=False)[0]
    assert store.administrator.save("general", port=465, use_ssl=True) == []
