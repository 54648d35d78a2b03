"""The mail settings as a whole on the command line: shown, exported, applied from a file or only tried, deleted, copied, and who changed what."""

import json

import pytest

from erp import Erp, letter


@pytest.fixture
def erp(mailroom, database):
    return Erp(mailroom, database).prepare()


@pytest.fixture
def office(erp):
    """General by smtp with a password, ANNA who inherits it with one of her own, the form INV and the model DUN."""
    erp.general(mode="smtp", default_user_mode="smtp", server="mail.test", account="erp@x.test")
    erp.password("general", secret="a word")
    erp.user("ANNA", email="anna@x.test")
    erp.password("user", "ANNA", secret="a word")
    erp.form("INV", from_="inv@x.test", mode="general")
    erp.model("DUN", from_="dun@x.test", mode="general")
    return erp


def exported(mailroom):
    return json.loads(mailroom.run("settings", "export").out)


def write(mailroom, name, text):
    path = mailroom.directory / name
    path.write_text(text if isinstance(text, str) else json.dumps(text))
    return path


def shown(mailroom, *target):
    return {one["setting"]: one for one in mailroom.json("settings", "show", *target)["settings"]}


# Show

def test_every_value_is_shown_with_where_it_comes_from(office, mailroom):
    text = mailroom.run("settings", "show", "user", "ANNA").out
    for line in ("user ANNA, version", "server                mail.test  (from general.server)", "effective_mode        smtp  (from general.default_user_mode)",
                 "from                  anna@x.test  (from user.account)", "port                  587  (from general.port)", "has_password          yes\n"):
        assert line in text, text
    assert "its account must be allowed to send as inv@x.test (form INV)" in mailroom.run("settings", "show", "general").out
    assert shown(mailroom, "form", "INV")["effective_mode"]["value"] == "smtp"
    assert [(one["kind"], one["code"]) for one in mailroom.json("settings", "show")] == [("general", ""), ("user", "ANNA"), ("row", "INV"), ("model", "DUN")]
    everything = mailroom.run("settings", "show").out
    assert "general, version" in everything and "form INV, version" in everything and "model DUN, version" in everything


def test_what_is_not_there_is_not_shown(office, mailroom):
    for words, said in ((["user", "NONE"], 'there is no user "NONE"'), (["form"], "form which?"), (["general", "X"], "general has no code")):
        done = mailroom.run("settings", "show", *words, check=False)
        assert done.code != 0 and said in done.err


# Versions

def test_a_version_that_is_not_the_newest_saves_nothing_and_names_who_was_quicker(office, mailroom, database):
    version = mailroom.json("settings", "show", "user", "ANNA")["version"]
    mailroom.run("account", "set", "user", "ANNA", "name=Anna", f"--if-version={version}")
    done = mailroom.run("account", "set", "user", "ANNA", "name=Other", "--if-version", version, check=False)
    assert done.code == 1
    for words in ("user ANNA: was changed since you read it", f"changed by {database.owner} at", ": name", "Read the settings again"):
        assert words in done.err, done.err
    assert "DETAIL" not in done.err and "[{" not in done.err
    assert shown(mailroom, "user", "ANNA")["name"]["value"] == "Anna"
    assert mailroom.run("account", "set", "user", "BEN", "name=Ben", "--if-version=0").code == 0
    assert "is there already" in mailroom.run("account", "set", "user", "BEN", "name=B", "--if-version=0", check=False).err


# Dry runs

def differences(answer):
    return {(one["kind"], one["code"]): one for one in answer["differences"]}


def test_a_dry_run_says_who_would_send_differently_and_saves_nothing(office, mailroom, database):
    office.enqueue(user="ANNA", **letter())
    for _ in range(2):
        office.enqueue(form="INV", **letter())
    before, version = exported(mailroom), database.value("SELECT settings_version FROM mailroom.installation")
    answer = mailroom.json("account", "set", "general", "account=new@x.test", "--dry-run")
    assert answer["dry_run"] and any("the password belonged to another account" in line for line in answer["advice"])
    found = differences(answer)
    assert set(found) == {("general", ""), ("row", "INV"), ("model", "DUN")}, "ANNA only inherits the server"
    form = found["row", "INV"]
    assert (form["waiting"], form["before"]["table_row"], form["before"]["account"], form["before"]["from"], form["before"]["hold"]) == (2, "M6", "erp@x.test", "inv@x.test", "")
    assert (form["after"]["table_row"], form["after"]["hold"]) == ("M8", "config_incomplete(general: Password)")
    assert found["model", "DUN"]["waiting"] == 0
    assert (exported(mailroom), database.value("SELECT settings_version FROM mailroom.installation")) == (before, version)
    assert database.value("SELECT count(*) FROM mailroom.settings_change WHERE new_value = 'new@x.test'") == 0


def test_a_dry_run_in_words(office, mailroom):
    office.enqueue(user="ANNA", **letter())
    out = mailroom.run("account", "set", "user", "ANNA", "from=Anna <a@y.test>", "--dry-run").out
    assert out.startswith("user ANNA, 1 message in the queue:\n  now:  smtp by anna@x.test at mail.test:587, as anna@x.test [S12]\n"
                          "  then: smtp by anna@x.test at mail.test:587, as Anna <a@y.test> (Sender anna@x.test) [S12]\n")
    assert "dry run: nothing was saved" in out
    assert mailroom.run("account", "set", "form", "INV", "from=b@x.test", "--dry-run").out.startswith("form INV, 0 messages in the queue:")
    assert "nobody's sender, mode or hold would differ" in mailroom.run("account", "set", "user", "ANNA", "name=A", "--dry-run").out


@pytest.mark.parametrize("kind, settings, after", [
    ("user", {"enabled": "no"}, "no_user(user ANNA: disabled)"), ("user", {"mode": "outlook"}, "waiting_desktop(user ANNA)"),
    ("form", {"from": ""}, ""), ("form", {"mode": "not_configured"}, "mode_not_configured(row INV: Mailing Mode)"), ("model", {"mode": "outlook"}, "")])
def test_a_dry_run_of_each_kind(office, mailroom, kind, settings, after):
    code = {"user": "ANNA", "form": "INV", "model": "DUN"}[kind]
    answer = mailroom.json("account", "set", kind, code, *[f"{key}={value}" for key, value in settings.items()], "--dry-run")
    [one] = answer["differences"]
    assert (one["kind"], one["code"], one["after"]["hold"]) == ("row" if kind == "form" else kind, code, after)
    assert one["before"]["mode"] == "smtp" and one["before"]["hold"] == ""


def test_a_dry_run_refuses_what_saving_refuses(office, mailroom):
    done = mailroom.run("account", "set", "general", "port=0", "mode=pigeon", "--dry-run", check=False)
    assert done.code == 1 and "general.port" in done.err and "general.mode" in done.err


def test_a_dry_run_of_a_whole_file_names_what_it_makes_and_changes(office, mailroom):
    office.enqueue(user="EVA", **letter())
    file = write(mailroom, "new.json", {"general": {"server": "new.test"}, "users": [{"code": "EVA", "email": "eva@x.test"}]})
    found = differences(mailroom.json("settings", "apply", file, "--dry-run"))
    assert set(found) == {("general", ""), ("user", "ANNA"), ("user", "EVA"), ("row", "INV"), ("model", "DUN")}
    eva = found["user", "EVA"]
    assert (eva["before"]["hold"], eva["after"]["hold"], eva["waiting"]) == ("not there", "config_incomplete(user EVA: Password)", 1)
    assert found["user", "ANNA"]["after"]["server"] == "new.test:587"
    assert [user["code"] for user in exported(mailroom)["users"]] == ["ANNA"]


def test_a_paused_login_is_seen_by_a_dry_run_that_has_the_key(office, mailroom, database, certificates):
    from misbehaving import MisbehavingServer
    with MisbehavingServer(certificates.server(), users={"erp@x.test": "right"}) as server:
        office.general(server="localhost", port=server.port, confirm=True)
        office.password("general", secret="wrong")
        with mailroom.daemon():
            office.wait_for(office.enqueue(form="INV", **letter()), "held", "auth_failed")
    found = differences(mailroom.json("account", "set", "general", "account=other@x.test", "--dry-run"))
    assert found["row", "INV"]["before"]["hold"] == "auth_failed(general)" and found["row", "INV"]["waiting"] == 1


# Export and apply

@pytest.mark.parametrize("format", ["json", "toml"])
def test_an_export_can_be_applied_again_and_changes_nothing(office, mailroom, format):
    office.user("BÉN \"B\" O'X", name="Bén \\ back", from_="Bén <b@x.test>", mode="smtp", server="b.test", port=465, enabled=False)
    file = mailroom.directory / f"all.{format}"
    assert "exported" in mailroom.run("settings", "export", file).out
    before = exported(mailroom)
    assert mailroom.json("settings", "apply", file) | {"advice": []} == {"applied": str(file), "named": 5, "changed": 0, "advice": []}
    assert exported(mailroom) == before
    assert f"applied {file}: 0 of 5 changed" in mailroom.run("settings", "apply", file).out


def test_an_export_goes_to_another_installation_without_secrets(office, mailroom, database):
    text = mailroom.run("settings", "export", "--format", "toml").out
    assert 'format = "mailroom settings 1"\n' in text and "[general]\n" in text and '[[users]]\ncode = "ANNA"\n' in text and "has_password = true" in text
    assert "a word" not in text
    database.rows("DELETE FROM mailroom.users; DELETE FROM mailroom.rows; DELETE FROM mailroom.models")
    done = mailroom.run("settings", "apply", "-", "--format", "toml", "--any-version", input=text)
    assert "applied -: 3 of 4 changed" in done.out and "user ANNA: still missing: Password" in done.out
    assert shown(mailroom, "user", "ANNA")["has_password"]["value"] is False


def test_an_export_that_others_have_overtaken_is_refused_with_who_and_what(office, mailroom, database):
    file = mailroom.directory / "all.toml"
    mailroom.run("settings", "export", file)
    file.write_text(file.read_text().replace('email = "anna@x.test"', 'email = "file@x.test"'))
    mailroom.run("account", "set", "user", "ANNA", "email=saved@x.test")
    for more in ([], ["--dry-run"], ["--yes"]):
        done = mailroom.run("settings", "apply", file, *more, check=False)
        assert done.code == 1
        for words in ("the settings were changed since the file was exported", f"\nuser ANNA changed by {database.owner} at 20", ": email\n", "--any-version"):
            assert words in done.err, done.err
    assert exported(mailroom)["users"][0]["email"] == "saved@x.test"
    assert mailroom.json("settings", "apply", file, "--any-version")["changed"] == 1
    assert exported(mailroom)["users"][0]["email"] == "file@x.test"


def test_an_export_is_in_the_order_of_the_documentation(office, mailroom):
    general = list(exported(mailroom)["general"])
    assert general[:5] == ["edition", "default_user_mode", "mode", "account", "from"] and general[-1] == "has_token"


def test_a_file_with_forty_problems_names_all_and_applies_nothing(office, mailroom):
    before = exported(mailroom)
    users = [{"code": f"U{n}", "port": 0, "email": "x"} for n in range(20)]
    done = mailroom.run("settings", "apply", write(mailroom, "bad.json", {"users": users, "general": {"server": "other.test"}}), check=False)
    assert done.code == 1 and "40 problems, nothing was saved" in done.err
    assert [done.err.count(f"users[{n}] U{n}: ") for n in range(20)] == [2] * 20
    assert exported(mailroom) == before


@pytest.mark.parametrize("name, text, said", [
    ("x.json", "{", "it is not JSON"), ("x.json", "[]", "must be an object"), ("x.toml", "a = ", "line 1:"), ("x.toml", "[[users]]\ncode = 'A'\nport = 1979-05-27", "users[0] A: port:"),
    ("x.csv", "code\nA", "Add --kind"), ("x.json", b"\xff\xfe".decode("latin-1"), "it is not JSON")])
def test_a_file_that_cannot_be_read_is_named_with_the_reason(office, mailroom, name, text, said):
    done = mailroom.run("settings", "apply", write(mailroom, name, text), check=False)
    assert done.code in (1, 2) and name in done.err and said in done.err
    missing = mailroom.run("settings", "apply", "missing.json", check=False)
    assert missing.code == 2 and "missing.json: No such file" in missing.err


# Tables

def test_users_forms_and_models_come_from_tables(office, mailroom):
    users = write(mailroom, "users.csv", '\ufeffcode,name,email,mode,port,use_ssl\r\nANNA,"Berg, Anna",,,,\r\n\r\nBEN,"Ben ""B""",ben@x.test,office365,2525,no\r\n')
    assert mailroom.json("settings", "apply", users, "--kind", "user")["changed"] == 2
    [anna, ben] = exported(mailroom)["users"]
    assert (anna["name"], anna["email"], anna["mode"], anna["port"]) == ("Berg, Anna", "", "same_as_general", 587), "an empty text is blank; an empty port says nothing"
    assert (ben["name"], ben["email"], ben["mode"], ben["port"], ben["use_ssl"]) == ('Ben "B"', "ben@x.test", "office365", 2525, False)
    mailroom.run("settings", "apply", write(mailroom, "forms.csv", "code;from;mode;kind\nINV;;;report\nORD;Orders <o@x.test>;smtp;\n"), "--kind", "form")
    assert [(row["code"], row["from"], row["mode"], row["kind"]) for row in exported(mailroom)["rows"]] == [
        ("INV", "", "not_configured", "report"), ("ORD", "Orders <o@x.test>", "general", "form")]
    mailroom.run("settings", "apply", "-", "--format", "csv", "--kind", "model", input="code,from\nNEW,n@x.test\n")
    assert [model["code"] for model in exported(mailroom)["models"]] == ["DUN", "NEW"]


@pytest.mark.parametrize("kind, part", [("user", "users"), ("form", "rows"), ("model", "models")])
def test_an_exported_table_can_be_applied_again_and_changes_nothing(office, mailroom, kind, part):
    office.user('BÉN, "B"; C', name="Bén; x", from_="Bén <b@x.test>", mode="smtp", server="b.test", port=465, enabled=False)
    office.form("LIST", kind="other", name="a, b", from_="l@x.test", mode="not_configured")
    file = mailroom.directory / "table.csv"
    assert f"exported all {kind} settings but secrets to {file}" in mailroom.run("settings", "export", file, "--kind", kind).out
    before = exported(mailroom)
    done = mailroom.json("settings", "apply", file, "--kind", kind)
    assert (done["named"], done["changed"]) == (len(before[part]), 0) and exported(mailroom) == before
    assert mailroom.run("settings", "export", "--format", "csv", "--kind", kind).out == file.read_text()
    file.write_text(file.read_text().replace("x.test", "y.test"))
    assert mailroom.json("settings", "apply", file, "--kind", kind)["changed"] > 0
    for words, said in ((["t.csv"], "Add --kind"), (["--kind", kind], "add --format csv")):
        done = mailroom.run("settings", "export", *words, check=False)
        assert done.code == 2 and said in done.err


def test_a_tables_problems_are_named_by_line(office, mailroom):
    text = 'code,name,port\nANNA,"two\nlines",25\nBEN,x,0\nEVA,x\n'
    done = mailroom.run("settings", "apply", write(mailroom, "users.csv", text), "--kind", "user", check=False)
    assert done.code == 2 and "line 5: 2 cells, where the header has 3" in done.err
    done = mailroom.run("settings", "apply", write(mailroom, "users.csv", text.replace("EVA,x\n", "EVA,x,99999\n")), "--kind", "user", check=False)
    assert done.code == 1 and 'line 4 BEN: port: "0"' in done.err and 'line 5 EVA: port: "99999"' in done.err and "line 2 ANNA: name:" in done.err
    for header, said in (("name\nx\n", 'no column "code"'), ("code,code\nA,B\n", "names code twice"), ('code,name\nA,"x\n', "a quote is never closed"), ("code,planet\nA,x\n", "no such setting")):
        done = mailroom.run("settings", "apply", write(mailroom, "users.csv", header), "--kind", "user", check=False)
        assert done.code != 0 and said in done.err
    assert [user["code"] for user in exported(mailroom)["users"]] == ["ANNA"]


# Confirmed where mail would be held

def test_a_change_to_cloud_lists_what_would_be_held_and_wants_a_yes(office, mailroom):
    office.user("ANNA", mode="outlook")
    uid = office.enqueue(user="ANNA", **letter())
    done = mailroom.run("account", "set", "general", "edition=cloud", check=False)
    assert done.code == 1 and "user ANNA: mode outlook: 1 message would be held: " + uid in done.err and "add --yes" in done.err
    assert exported(mailroom)["general"]["edition"] == "on_premise"
    [one] = mailroom.json("account", "set", "general", "edition=cloud", "--dry-run")["differences"]
    assert (one["before"]["hold"], one["after"]["hold"]) == ("waiting_desktop(user ANNA)", "mode_unavailable_on_cloud(user ANNA: Mailing Mode)")
    assert f"user ANNA: mode outlook: 1 message would be held: {uid}" in mailroom.run("account", "set", "general", "edition=cloud", "--dry-run").out
    mailroom.run("account", "set", "general", "edition=cloud", "--yes")
    assert exported(mailroom)["general"]["edition"] == "cloud" and exported(mailroom)["users"][0]["mode"] == "outlook"


def test_a_form_that_messages_wait_for_is_deleted_only_if_they_are_to_be_held(office, mailroom):
    uid = office.enqueue(form="INV", **letter())
    done = mailroom.run("settings", "delete", "form", "INV", check=False)
    assert done.code == 1 and "form INV: needed by 1 message in the queue" in done.err and "add --yes" in done.err
    [one] = mailroom.json("settings", "delete", "form", "INV", "--dry-run")["differences"]
    assert (one["code"], one["after"]["hold"], one["waiting"]) == ("INV", "not there", 1)
    assert "1 message in the queue will be held (address_removed)" in mailroom.run("settings", "delete", "form", "INV", "--hold").out
    assert exported(mailroom)["rows"] == []
    with mailroom.daemon():
        office.wait_for([uid], "held", "address_removed")


def test_what_waits_for_a_deleted_user_is_held_and_goes_to_nobody_else(office, mailroom):
    uid = office.enqueue(user="ANNA", **letter())
    assert "needed by 1 message" in mailroom.run("settings", "delete", "user", "ANNA", check=False).err
    assert mailroom.json("settings", "delete", "user", "ANNA", "--yes")["advice"] == ["user ANNA: 1 message in the queue will be held (no_user)"]
    office.user("ANNA", email="new.anna@x.test")
    with mailroom.daemon():
        office.wait_for([uid], "held", "no_user")


def test_deleting_what_is_not_there_is_an_error(office, mailroom):
    for kind in ("user", "form", "model"):
        done = mailroom.run("settings", "delete", kind, "NONE", check=False)
        assert done.code == 1 and f'there is no {kind} "NONE"' in done.err
    assert mailroom.run("settings", "delete", "general", "X", check=False).code == 2


# Copy, history

def test_a_copied_user_comes_without_secrets(office, mailroom):
    done = mailroom.run("settings", "copy", "user", "ANNA", "BEN", "email=ben@x.test", "account=")
    assert "copied user ANNA to BEN, without secrets" in done.out and "still missing: Password" in done.out
    ben = shown(mailroom, "user", "BEN")
    assert (ben["has_password"]["value"], ben["account"]["value"], ben["account"]["origin"]) == (False, "ben@x.test", "user.email")
    assert "there is a user \"BEN\" already" in mailroom.run("settings", "copy", "user", "ANNA", "BEN", check=False).err


def test_a_copy_may_be_tried_first(office, mailroom):
    [one] = mailroom.json("settings", "copy", "user", "ANNA", "BEN", "--dry-run")["differences"]
    assert (one["code"], one["before"]["hold"], one["after"]["hold"]) == ("BEN", "not there", "config_incomplete(user BEN: Password)")
    assert [user["code"] for user in exported(mailroom)["users"]] == ["ANNA"]
    assert "name=value" in mailroom.run("settings", "copy", "user", "ANNA", "BEN", "email", check=False).err


def test_the_history_tells_who_changed_what_and_no_secret(office, mailroom, database):
    mailroom.run("account", "set", "user", "ANNA", "account=other")
    out = mailroom.run("settings", "history").out
    for words in (f'{database.owner}  user ANNA  account: "anna@x.test" -> "other"', "user ANNA  password removed; it belonged to another account or server",
                  "general  password changed", "form INV  made", 'general  mode: "not_configured" -> "smtp"'):
        assert words in out, out
    assert "a word" not in out
    [newest] = mailroom.json("settings", "history", "--limit", 1)["changes"]
    assert (newest["door"], newest["kind"], newest["code"]) == ("mailroom", "user", "ANNA")
    older = mailroom.json("settings", "history", "--limit", 1, "--before", newest["id"])["changes"]
    assert older[0]["id"] < newest["id"] and "--before" in mailroom.run("settings", "history", "--limit", 1).out
