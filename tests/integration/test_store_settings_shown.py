"""What is shown of the mail settings: each with the value in effect, and where it comes from."""

import pytest

from store import refused


def shown(store, kind, code=""):
    """{setting: (value, origin)}; the origin of what is stored is None."""
    found = store.administrator.value("SELECT mailroom.settings_shown(%s, %s)", kind, code)
    return {one["setting"]: (one["value"], one.get("origin")) for one in found["settings"]}


def user(store, **settings):
    store.administrator.save("user", settings.pop("code", "ANNA"), **settings)
    return shown(store, "user", settings.get("code", "ANNA"))


def test_general_shows_its_defaults_as_such(store):
    general = shown(store, "general")
    assert general["edition"] == ("on_premise", "default") and general["mode"] == ("not_configured", "default")
    assert general["default_user_mode"] == ("outlook", "default of the edition on_premise")
    assert (general["port"], general["use_ssl"], general["login"], general["send_as"]) == ((587, "default"), (True, "default"), (True, "default"), (False, "default"))
    store.administrator.save("general", edition="cloud")
    assert shown(store, "general")["default_user_mode"] == ("not_configured", "default of the edition cloud")
    store.administrator.save("general", mode="not_configured", default_user_mode="office365")
    assert shown(store, "general")["default_user_mode"] == ("office365", None) and shown(store, "general")["mode"] == ("not_configured", None)


def test_generals_from_is_its_accounts_address_until_it_is_saved(store):
    store.administrator.save("general", account="erp")
    assert shown(store, "general")["from"] == ("", "default")
    store.administrator.save("general", account="erp@x.test")
    assert shown(store, "general")["from"] == ("erp@x.test", "general.account")
    store.administrator.save("general", from_="ERP <other@x.test>")
    assert shown(store, "general")["from"] == ("ERP <other@x.test>", None)


@pytest.mark.parametrize("settings, account, sender", [
    ({}, ("", "default"), ("", "default")),
    ({"email": "anna@x.test"}, ("anna@x.test", "user.email"), ("anna@x.test", "user.account")),
    ({"email": "anna@x.test", "account": "anna"}, ("anna", None), ("anna@x.test", "user.email")),
    ({"email": "anna@x.test", "account": "a@y.test"}, ("a@y.test", None), ("a@y.test", "user.account")),
    ({"email": "anna@x.test", "account": "a@y.test", "from_": "Anna <z@y.test>"}, ("a@y.test", None), ("Anna <z@y.test>", None))])
def test_a_users_account_and_from_say_where_they_come_from(store, settings, account, sender):
    found = user(store, **settings)
    assert (found["account"], found["from"]) == (account, sender)


def test_on_cloud_a_code_that_is_an_address_is_the_account(store):
    store.administrator.save("general", edition="cloud")
    store.administrator.save("user", "anna@x.test")
    assert shown(store, "user", "anna@x.test")["account"] == ("anna@x.test", "user.code")
    store.administrator.save("user", "anna@x.test", email="other@x.test")
    assert shown(store, "user", "anna@x.test")["account"] == ("other@x.test", "user.email")


def test_a_malformed_email_ends_the_chain(store):
    store.administrator.save("user", "ANNA")
    store.root.rows("UPDATE mailroom.users SET email = 'nobody'")
    assert shown(store, "user", "ANNA")["account"] == ("", "user.email: not an e-mail address")


@pytest.mark.parametrize("general, server, port", [
    ({"server": "own.test", "port": 26}, ("own.test", "general.server"), (26, "general.port")),
    ({"server": "own.test", "port": 26, "user_server": "users.test"}, ("users.test", "general.user_server"), (587, "general.user_port")),
    ({"server": "own.test", "port": 26, "user_port": 99}, ("own.test", "general.server"), (26, "general.port"))])
def test_an_inherited_server_is_shown_live_with_its_group(store, general, server, port):
    store.administrator.save("general", **general)
    found = user(store)
    assert (found["server"], found["port"]) == (server, port)


def test_a_server_of_ones_own_is_stored_and_without_effect_while_the_mode_is_inherited(store):
    store.administrator.save("general", server="shared.test")
    assert user(store, mode="smtp", server="annas.test", port=26)["server"] == ("annas.test", None)
    assert user(store, mode="same_as_general")["server"] == ("shared.test", "general.server")
    [own] = [one["own"] for one in store.administrator.value("SELECT mailroom.settings_shown('user', 'ANNA')")["settings"] if one["setting"] == "server"]
    assert own == "annas.test"


def test_a_mode_is_shown_with_what_it_comes_to(store):
    assert user(store)["effective_mode"] == ("outlook", "general.default_user_mode: default of the edition on_premise")
    store.administrator.save("general", default_user_mode="smtp", mode="office365")
    assert user(store)["effective_mode"] == ("smtp", "general.default_user_mode")
    assert user(store, mode="office365")["effective_mode"] == ("office365", "user.mode")
    store.administrator.save("row", "INV", mode="general")
    store.administrator.save("model", "DUN", mode="outlook")
    assert shown(store, "row", "INV")["effective_mode"] == ("office365", "general.mode")
    assert shown(store, "model", "DUN")["effective_mode"] == ("outlook", "model.mode")


def test_of_a_secret_is_shown_whether_there_is_one(store):
    assert shown(store, "general")["has_password"] == (False, "")  or shown(store, "general")["has_password"] == (False, None)
    store.administrator.rows("SELECT mailroom.store_password(NULL, 'erp', '\\xdeadbeef')")
    assert shown(store, "general")["has_password"][0] is True
    assert "deadbeef" not in str(store.administrator.value("SELECT mailroom.settings_shown('general')"))


def test_general_lists_what_its_account_must_be_allowed_to_send_as(store):
    store.administrator.save("general", account="erp@x.test", from_="ERP <erp@X.test>")
    store.administrator.save("row", "INV", mode="general", from_="Invoices <inv@x.test>")
    store.administrator.save("row", "OUT", mode="outlook", from_="out@x.test")
    store.administrator.save("row", "BLANK", mode="general")
    store.administrator.save("model", "DUN", mode="general", from_="dun@x.test")

    def listed():
        return [(one["address"], one["kind"], one["code"]) for one in store.administrator.value("SELECT mailroom.settings_shown('general')")["must_be_allowed_to_send_as"]]

    assert listed() == [("dun@x.test", "model", "DUN"), ("inv@x.test", "row", "INV")]
    store.administrator.save("general", from_="other@x.test")
    assert ("other@x.test", "general", "") in listed()


def test_what_is_still_missing_is_shown(store):
    store.administrator.save("general", mode="smtp", default_user_mode="smtp")
    store.administrator.save("user", "ANNA")
    assert store.administrator.value("SELECT mailroom.settings_shown('general')")["still_missing"] == ["Server Name", "User", "Password"]
    assert store.administrator.value("SELECT mailroom.settings_shown('user', 'ANNA')")["still_missing"] == ["Server Name of general", "User", "Password", '"From" Address']


def test_nobody_and_nothing_is_shown_as_what_it_is(store):
    with refused("MR002", 'there is no form "NONE"'):
        store.administrator.rows("SELECT mailroom.settings_shown('row', 'NONE')")
    with refused("MR002", '"planet" is none of general, user, row, model'):
        store.administrator.rows("SELECT mailroom.settings_shown('planet', 'X')")
