"""Export and import of all mail settings but secrets: checked as a whole, applied as a whole or not at all."""

import json

import pytest

from store import refused

SEALED = b"\x01sealed\xff"


def export(store):
    return store.administrator.value("SELECT mailroom.export_settings()")


def apply(store, settings, **options):
    return store.administrator.value("SELECT mailroom.import_settings(%s, %s)", json.dumps(settings), json.dumps(options))


def without_secrets(store):
    """An export that tells neither which passwords there are nor its version."""
    return json.loads(json.dumps(export(store) | {"version": 0}).replace('"has_password": true', '"has_password": false'))


def fill(store):
    store.administrator.save("general", mode="smtp", server="mail.test", account="erp@x.test", from_="ERP <erp@x.test>", user_server="users.test", user_port=26, send_as=True)
    store.administrator.save("user", "ANNA", email="anna@x.test", mode="smtp", server="annas.test", port=465, enabled=False)
    store.administrator.save("user", "BÉN", name="Bén", account="ben", mode="outlook")
    store.administrator.save("row", "INV", from_="Büro <inv@x.test>", mode="general", kind="report", name="Invoices")
    store.administrator.save("model", "DUN", from_="dun@x.test", mode="outlook")
    store.administrator.rows("SELECT mailroom.store_password(NULL, 'erp@x.test', %s)", SEALED)


def test_an_export_has_everything_but_secrets(store):
    fill(store)
    exported = export(store)
    assert (exported["format"], set(exported)) == ("mailroom settings 1", {"format", "version", "general", "users", "rows", "models"})
    assert (exported["general"]["has_password"], exported["general"]["has_token"], exported["users"][0]["has_password"]) == (True, False, False)
    assert exported["rows"] == [{"code": "INV", "kind": "report", "name": "Invoices", "from": "Büro <inv@x.test>", "mode": "general"}]
    assert exported["users"][0]["port"] == 465 and exported["users"][0]["enabled"] is False
    assert set(exported["users"][0]) == {"code", "name", "enabled", "email", "mode", "account", "from", "server", "port", "use_ssl", "login", "allow_cleartext",
                                         "send_as", "has_password", "has_token"}
    assert "default_user_mode" not in exported["general"], "never saved"
    assert exported.pop("version") == store.root.value("SELECT count(*) FROM mailroom.settings_change")
    assert "sealed" not in json.dumps(exported) and "version" not in json.dumps(exported), "of the single ones no file says which it has"


def test_an_import_elsewhere_gives_the_same_settings_without_secrets(store, new_store):
    fill(store)
    other = new_store()
    try:
        with refused("MR006", "it is of another installation, or a backup was restored"):
            apply(other, export(store))
        answer = apply(other, export(store), any_version=True)
        assert (answer["named"], answer["changed"]) == (5, 5)
        assert without_secrets(other) == without_secrets(store)
        assert other.root.value("SELECT password FROM mailroom.general") is None
    finally:
        other.close()


def test_an_import_of_its_own_export_changes_nothing_and_keeps_the_secrets(store):
    fill(store)
    before = store.root.rows("SELECT * FROM mailroom.general")
    assert apply(store, export(store))["changed"] == 0
    assert store.root.rows("SELECT * FROM mailroom.general") == before and before[0]["password"] is not None


def test_a_file_made_of_settings_that_others_changed_since_is_refused_with_who_and_what(store):
    fill(store)
    old = export(store)
    store.administrator.save("user", "ANNA", email="new@x.test", name="Anna")
    store.administrator.rows("SELECT mailroom.delete_model('DUN')")
    old["general"]["server"] = "other.test"
    before = export(store)
    with refused("MR006", f"version: the settings were changed since the file was exported (version {before['version']} now, not {old['version']})",
                 "\nmodel DUN deleted by login_administrator at 20", "\nuser ANNA changed by login_administrator at 20", ": email, name") as caught:
        apply(store, old)
    assert [(one["kind"], one["code"], one["settings"]) for one in json.loads(caught.value.diag.message_detail)] == [("model", "DUN", None), ("user", "ANNA", ["email", "name"])]
    assert export(store) == before
    assert apply(store, old, any_version=True)["changed"] == 3
    assert export(store)["users"][0]["email"] == "anna@x.test"


def test_a_file_of_the_present_version_is_applied_and_once_more_changes_nothing(store):
    fill(store)
    file = export(store)
    file["users"][0]["name"] = "Anna"
    assert apply(store, file)["changed"] == 1
    store.administrator.save("general", server="mail.test")  # as it is already: no change
    assert apply(store, file)["changed"] == 0, "what changes nothing goes over nothing"
    file["users"][0]["name"] = "Ann"
    with refused("MR006", "user ANNA changed"):
        apply(store, file)


@pytest.mark.parametrize("version", ["x", -1, 1.5, None, "9" * 30])
def test_a_files_version_that_is_none_is_refused(store, version):
    with refused("MR002", "version: "):
        apply(store, {"version": version, "users": []})


def test_a_saving_that_commits_while_a_file_is_applied_is_not_gone_over(store):
    first, second = store.administrator, store.session("administrator")
    first.save("user", "ANNA", email="anna@x.test")
    file = export(store)
    file["users"][0]["email"] = "file@x.test"
    first.begin()
    first.save("user", "ANNA", email="saved@x.test")
    with store.blocked(second, lambda: second.rows("SELECT mailroom.import_settings(%s)", json.dumps(file))) as later:
        first.commit()
        with refused("MR006", "user ANNA changed by login_administrator"):
            later.result()
    assert export(store)["users"][0]["email"] == "saved@x.test"


def test_a_saving_that_commits_after_an_export_counts_although_it_began_before(store):
    store.administrator.save("user", "ANNA")
    late = store.session("administrator")
    late.begin()
    late.save("user", "BEN", email="ben@x.test")
    store.root.rows("UPDATE mailroom.users SET name = 'Anna' WHERE code = 'ANNA'")  # recorded later, committed earlier
    file = export(store)
    late.commit()
    file["users"][0]["name"] = "Ann"
    with refused("MR006", f"(version {file['version'] + 2} now, not {file['version']})"):
        apply(store, file)


def test_an_import_changes_what_it_names_and_deletes_nothing(store):
    fill(store)
    apply(store, {"users": [{"code": "ANNA", "port": 25}, {"code": "EVA"}]})
    assert [(one["code"], one["port"]) for one in export(store)["users"]] == [("ANNA", 25), ("BÉN", 587), ("EVA", 587)]
    assert export(store)["users"][0]["email"] == "anna@x.test" and len(export(store)["rows"]) == 1


def test_an_import_drops_a_secret_by_the_rule_of_saving(store):
    fill(store)
    assert any("the password belonged to another account" in line for line in apply(store, {"general": {"account": "new@x.test"}})["advice"])
    assert store.root.value("SELECT password FROM mailroom.general") is None


FORTY = {
    "format": "mailroom settings 2", "planets": [], "general": {"edition": "moon", "mode": "outlook", "port": 0, "server": "a b", "from": "none", "colour": "red", "login": "perhaps"},  # 9
    "users": [{"code": f"U{n}", "port": 70000 + n, "email": "none", "mode": "SMTP"} for n in range(7)]  # 21
             + [{"code": "U0"}, {"port": 25}, 7, {"code": "x" * 101}],  # 4
    "rows": [{"code": "R", "mode": "office365"}, {"code": "S", "kind": "letter"}, {"code": "S"}],  # 3
    "models": [{"code": "M", "from": "nobody"}, {"code": "N", "kind": "form"}, {"code": "O", "name": ["x"]}]}  # 3


def test_an_import_with_forty_errors_names_all_forty_with_their_places_and_applies_nothing(store):
    fill(store)
    before, version = export(store), store.version
    with refused("MR002", "40 problems, nothing was saved", 'format: "mailroom settings 2" is not', "planets: there is no such part", "general: port: \"0\" is not a port",
                 "users[3] U3: port: \"70003\" is not a port", "users[3] U3: email: \"none\" is not an e-mail address", "users[7] U0: code: is named twice",
                 "users[8]: code: a code has 1 to 100", "users[9]: must be an object", "rows[0] R: mode: \"office365\" is not what general.mode is",
                 "rows[2] S: code: is named twice", "models[0] M: from: \"nobody\" is not", "models[1] N: kind: model has no such setting") as caught:
        apply(store, FORTY)
    assert len(json.loads(caught.value.diag.message_detail)) == 40
    assert (export(store), store.version) == (before, version)


@pytest.mark.parametrize("given, said", [(7, "must be a JSON object"), ({"users": {}}, "users: must be a list"), ({"general": []}, "general: must be an object"),
                                         ({"users": [{"code": None}]}, "users[0]: code:"), ({"users": [{"code": "A", "password": "x"}]}, "users[0] A: password: user has no such setting")])
def test_what_is_no_settings_file_is_refused(store, given, said):
    with refused("MR002", said):
        apply(store, given)


@pytest.mark.parametrize("general, mode, becomes", [({"mode": "smtp"}, "smtp", "general"), ({"mode": "office365"}, "office365", "general"), ({"default_user_mode": "smtp"}, "smtp", "general"),
                                                    ({}, "", "not_configured"), ({}, "outlook", "outlook"), ({}, "not_configured", "not_configured")])
def test_an_imported_mode_that_is_generals_becomes_the_link_to_it(store, general, mode, becomes):
    apply(store, {"general": general, "rows": [{"code": "R", "mode": mode}], "models": [{"code": "M", "mode": mode}]})
    assert (export(store)["rows"][0]["mode"], export(store)["models"][0]["mode"]) == (becomes, becomes)


def test_the_stored_mode_of_general_counts_where_the_file_names_none(store):
    store.administrator.save("general", mode="office365")
    apply(store, {"rows": [{"code": "R", "mode": "office365"}]})
    with refused("MR002", 'rows[0] Q: mode: "smtp" is not what general.mode is (office365)'):
        apply(store, {"rows": [{"code": "Q", "mode": "smtp"}]})
    assert [row["mode"] for row in export(store)["rows"]] == ["general"]


def test_desktop_modes_are_refused_on_cloud_also_where_the_file_makes_it_cloud(store):
    with refused("MR002", "2 problems", 'users[0] A: mode: "outlook" does not exist in the cloud edition', 'rows[0] R: mode: "outlook" does not exist'):
        apply(store, {"general": {"edition": "cloud"}, "users": [{"code": "A", "mode": "outlook"}], "rows": [{"code": "R", "mode": "outlook"}]})


def test_a_change_to_cloud_by_a_file_needs_confirmation_for_what_the_file_leaves(store):
    store.administrator.save("user", "ANNA", mode="outlook")
    with refused("MR007", "user ANNA: mode outlook"):
        apply(store, {"general": {"edition": "cloud"}})
    apply(store, {"general": {"edition": "cloud"}, "users": [{"code": "ANNA", "mode": "office365"}]})
    assert export(store)["general"]["edition"] == "cloud"


def test_a_confirmed_file_makes_it_cloud(store):
    store.administrator.save("user", "ANNA", mode="outlook")
    apply(store, {"general": {"edition": "cloud"}}, confirm=True)
    assert export(store)["users"][0]["mode"] == "outlook"


def test_places_may_be_lines_of_a_table(store):
    with refused("MR002", "line 7 B: port:"):
        apply(store, {"users": [{"code": "A"}, {"code": "B", "port": "x"}]}, lines=[2, 7])


def test_an_import_is_recorded_like_any_saving(store):
    apply(store, {"users": [{"code": "A", "email": "a@x.test"}]})
    assert store.administrator.rows("SELECT who, code, setting, new_value FROM mailroom.settings_change WHERE setting <> ''") == [
        {"who": "login_administrator", "code": "A", "setting": "email", "new_value": "a@x.test"}]


def test_two_thousand_users_are_imported_in_seconds(store):
    store.administrator.rows("SET statement_timeout = '30s'")
    users = [{"code": f"U{n}", "email": f"u{n}@x.test", "mode": "smtp", "server": "mail.test"} for n in range(2000)]
    assert apply(store, {"users": users})["changed"] == 2000


def test_an_import_waits_for_a_saving_under_way_and_goes_over_nothing_that_it_does_not_name(store):
    first, second = store.administrator, store.session("administrator")
    first.begin()
    first.save("general", account="erp@x.test")
    settings = json.dumps({"general": {"server": "mail.test"}, "users": [{"code": "ANNA", "email": "anna@x.test"}]})
    with store.blocked(second, lambda: second.rows("SELECT mailroom.import_settings(%s)", settings)) as later:
        first.commit()
        later.result()
    assert (export(store)["general"]["account"], export(store)["general"]["server"]) == ("erp@x.test", "mail.test")


def test_two_imports_at_once_are_one_after_the_other(store):
    first, second = store.administrator, store.session("administrator")
    first.begin()
    apply(store, {"users": [{"code": "A", "name": "one"}, {"code": "B", "name": "one"}]})
    settings = json.dumps({"users": [{"code": "B", "name": "two"}, {"code": "A", "name": "two"}]})
    with store.blocked(second, lambda: second.rows("SELECT mailroom.import_settings(%s)", settings)) as later:
        first.commit()
        later.result()
    assert [user["name"] for user in export(store)["users"]] == ["two", "two"]
