"""The decision table a second time: written from the rules' contract alone, straight down its steps and rows.

Speaks of the export, the status and the message lines of docs/explain.md as plain dictionaries, and answers what must be sent as whom, or
which hold with which subjects. Shares nothing with the program.
"""

import re

BLANKS = " \t\r\n"
ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\u00A0-\U0010FFFF-]+"
LABEL = r"[A-Za-z0-9\u00A0-\U0010FFFF](?:[A-Za-z0-9\u00A0-\U0010FFFF-]{0,61}[A-Za-z0-9\u00A0-\U0010FFFF])?"
MAILBOX = re.compile(rf"({ATOM}(?:\.{ATOM})*)@({LABEL}(?:\.{LABEL})*)")


def trim(text):
    return (text or "").strip(BLANKS)


def is_address(text):
    found = MAILBOX.fullmatch(trim(text))
    return bool(found) and len(found[1].encode()) <= 64 and len(trim(text).encode()) <= 254


def address_in(setting):
    """The address of `Name <address>` or of a bare address; None: malformed."""
    text = trim(setting)
    if text.endswith(">"):
        name, bracket, rest = text.rpartition("<")
        text = trim(rest[:-1]) if bracket else ""
    return text if is_address(text) else None


def written(setting):
    """As it stands in a header: Name <address> or the bare address."""
    text = trim(setting)
    if not text.endswith(">"):
        return text
    name = trim(text.rpartition("<")[0]).strip('"')
    return f"{name} <{address_in(text)}>" if name else address_in(text)


def comparable(address):
    """Case counts but for ASCII letters; a domain is the same in any script."""
    local, _, domain = address.rpartition("@")
    return re.sub("[A-Z]", lambda letter: letter[0].lower(), f"{local}@{domain if domain.isascii() else domain.encode('idna').decode()}")


def same(a, b):
    return a is not None and b is not None and comparable(a) == comparable(b)


class Held(Exception):
    def __init__(self, row, reason, *subjects):
        self.answer = {"table_row": row, "reason": reason, "subjects": sorted(subjects, key=repr)}


class Table:
    def __init__(self, settings, status):
        self.general = settings.get("general", {})
        self.users = {trim(u["code"]): u for u in settings.get("users", [])}
        self.documents = {"row": {trim(r["code"]): r for r in settings.get("rows", [])}, "model": {trim(m["code"]): m for m in settings.get("models", [])}}
        self.cloud = self.general.get("edition", "on_premise") == "cloud"
        self.statuses = {a["owner"]: a for a in status.get("accounts", [])}
        self.logins = {entry["owner"]: entry["reason"] for entry in status.get("refused_logins", [])}
        self.pairs = status.get("refused_pairs", [])
        self.agents = {a["user"]: a for a in status.get("agents", [])}
        self.lacks_key = status.get("key_missing", False)

    def answer(self, message):
        """{"error": codes}, or the answer as `essence` gives the program's."""
        row, model, mobile = trim(message.get("form") or message.get("row")), trim(message.get("model")), message.get("mobile", False)
        waits = message.get("addressed")
        if category := message.get("category"):
            if category == "mass" and not row or category == "dispatch" and not model:
                return {"error": []}
            mobile, waits = category == "mobile", category in ("mass", "dispatch")
        if not mobile:
            if row and model:
                return {"error": [row, model]}
            for kind, code in (("row", row), ("model", model)):
                if code and code not in self.documents[kind] and waits is None:
                    return {"error": [code]}
        try:
            return self.decide(trim(message.get("user")), row, model, mobile, waits)
        except Held as held:
            return held.answer

    def decide(self, code, row, model, mobile, waits):
        kind, name = ("row", row) if row else ("model", model)
        document = self.documents[kind].get(name) if name and not mobile else None
        addressed = waits if waits is not None else bool(document and trim(document.get("from")))
        if mobile:
            return self.mobile()
        if name and addressed:
            return self.linked("M" if kind == "row" else "D", kind, name, document, code)
        return self.standard({"row": "M1/", "model": "D1/"}[kind] if name else "", code)

    # ---- The three parts of the table

    def standard(self, prefix, code):
        user = self.users.get(code)
        if user is None or not user.get("enabled", True):
            raise Held(prefix + "S1", "no_user", ("user", code or None, None))
        inherits = user.get("mode", "same_as_general") == "same_as_general"
        default = self.general.get("default_user_mode") or ("not_configured" if self.cloud else "outlook")
        mode = default if inherits else user["mode"]
        whose = ("general", None, "default_user_mode") if inherits else ("user", code, "mode")
        if mode == "not_configured":
            raise Held(prefix + "S2", "mode_not_configured", whose)
        if mode in ("outlook", "other_client"):
            if self.cloud:
                raise Held(prefix + "S4", "mode_unavailable_on_cloud", whose)
            row = prefix + ("S3" if mode == "outlook" else "S5")
            agent = self.agent(row, code)
            if mode == "outlook" and agent.get("outlook") != "classic":
                raise Held(row, "no_classic_outlook", ("user", code, None))
            return {"table_row": row, "desktop": code, "mode": mode, "from": None}
        account = self.users_account(user, code)
        email = trim(user.get("email")) if is_address(user.get("email")) else None
        address = account if is_address(account) else email
        rows = {6: "S6" if mode == "office365" else "S13", 7: "S13", "never": "S7", "approval": "S8", "lost": "S9", "consent": "S10", "login": "S14", "pair": "S15",
                "send": "S10" if mode == "office365" else "S12" if inherits else "S11"}
        server, owner, prefix_of_server = self.users_server(user, code, inherits)
        return self.account(
            mode, {key: prefix + value for key, value in rows.items()}, ("user", code), f"user {code}", user, account, address, server, owner, prefix_of_server,
            user.get("from"), ("user", code, "from"), False)

    def users_account(self, user, code):
        if trim(user.get("account")):
            return trim(user["account"])
        if trim(user.get("email")):
            return trim(user["email"]) if is_address(user["email"]) else ""
        return code if self.cloud and is_address(code) else ""

    def users_server(self, user, code, inherits):
        if not inherits:
            return self.server(user, ""), ("user", code), ""
        if trim(self.general.get("user_server")):
            return self.server(self.general, "user_"), ("general", None), "user_"
        return self.server(self.general, ""), ("general", None), ""

    def linked(self, letter, kind, name, document, code):
        subject = (kind, name)
        if document is None or not trim(document.get("from")):
            raise Held(f"{letter}10", "address_removed", (kind, name if document else None, "from"))
        mode = document.get("mode") or "not_configured"
        general = self.general_mode()
        if mode in ("smtp", "office365") and mode == general:
            mode = "general"
        if mode == "not_configured":
            raise Held(f"{letter}2", "mode_not_configured", (*subject, "mode"))
        if mode == "outlook":
            if self.cloud:
                raise Held(f"{letter}4", "mode_unavailable_on_cloud", (*subject, "mode"))
            return self.outlook_of(f"{letter}3", subject, document, code)
        if general == "not_configured":
            raise Held(f"{letter}5", "mode_not_configured", ("general", None, "mode"))
        return self.shared(general, letter, {"send": f"{letter}7" if general == "office365" else f"{letter}6"}, "8", "9", document["from"], (*subject, "from"), True)

    def outlook_of(self, row, subject, document, code):
        wanted = address_in(document["from"])
        if wanted is None:
            raise Held(row, "config_incomplete", (*subject, "from"))
        user = self.users.get(code)
        if user is None or not user.get("enabled", True):
            raise Held(row, "no_user", ("user", code or None, None))
        agent = self.agent(row, code)
        if agent.get("outlook") != "classic":
            raise Held(row, "no_classic_outlook", ("user", code, None))
        if not any(same(a["address"], wanted) and not a.get("linked") for a in agent.get("accounts", [])):
            raise Held(row, "outlook_account_missing", ("user", code, None))
        return {"table_row": row, "desktop": code, "mode": "outlook", "from": written(document["from"])}

    def mobile(self):
        mode = self.general_mode()
        if mode == "not_configured":
            raise Held("B1", "mode_not_configured", ("general", None, "mode"))
        return self.shared(mode, "B", {"send": "B2"}, "3", "3", self.general.get("from"), ("general", None, "from"), False)

    # ---- What they share

    def general_mode(self):
        stored = self.general.get("mode")
        return stored or ("smtp" if self.general.get("default_user_mode") == "smtp" else "not_configured")

    def agent(self, row, code):
        if code not in self.agents:
            raise Held(row, "waiting_desktop", ("user", code, None))
        return self.agents[code]

    @staticmethod
    def server(settings, prefix):
        get = lambda key, default: settings.get(prefix + key, default)
        return {"host": trim(get("server", "")), "port": get("port", 587), "ssl": get("use_ssl", True), "login": get("login", True),
                "cleartext": get("allow_cleartext", False)}

    def shared(self, mode, letter, rows, incomplete, pair, setting, from_subject, known_before_sign_in):
        account = trim(self.general.get("account"))
        step8 = letter + incomplete
        rows = {6: step8, 7: step8, "never": step8, "approval": step8, "lost": step8, "consent": step8, "login": step8, "pair": letter + pair, **rows}
        return self.account(mode, rows, ("general", None), "general", self.general, account, account if is_address(account) else None, self.server(self.general, ""),
                            ("general", None), "", setting, from_subject, known_before_sign_in)

    def account(self, mode, rows, owner, owner_name, holder, account, address, server, server_owner, server_prefix, setting, from_subject, known_before_sign_in):
        """Steps 6 to 10 for one account."""
        office365 = mode == "office365"
        status = self.statuses.get(owner_name, {}) if office365 else {}
        if "account" in status and status["account"] != account:
            status = {}  # of another account
        if is_address(account) and status.get("mailbox") and status.get("aliases") is not None:
            if not any(same(account, known) for known in [status["mailbox"], *status["aliases"]]):
                status = {}
        state = status.get("state", "never_tried")
        signed_in = state == "authenticated"
        if signed_in and status.get("mailbox"):
            address = status["mailbox"]
        sender = address_in(setting) if trim(setting) else address
        shown = written(setting) if trim(setting) else address
        missing = []
        if not office365 and not server["host"]:
            missing.append((*server_owner, "server"))
        if (office365 or server["login"]) and not account:
            missing.append((*owner, "account"))
        if not office365 and server["login"] and not holder.get("has_password"):
            missing.append((*owner, "password"))
        if sender is None and (not office365 or known_before_sign_in or (signed_in and account)):
            missing.append(from_subject)
        if missing:
            raise Held(rows[6], "config_incomplete", *missing)
        if not office365 and server["login"] and not server["ssl"] and not server["cleartext"]:
            raise Held(rows[7], "cleartext_password", (*server_owner, server_prefix + "use_ssl"))
        plain = same(sender, address)
        if office365:
            if state == "approval_required":
                raise Held(rows["approval"], "admin_approval_required", (*owner, None))
            if not signed_in:
                raise Held(rows["lost" if state in ("revoked", "idle") else "never"], "auth_required", (*owner, None))
            if status.get("lacks_sending_for_others") and not plain:
                raise Held(rows["consent"], "consent_missing", (*owner, None))
        elif server["login"] and owner_name in self.logins:
            raise Held(rows["login"], self.logins[owner_name], (*owner, None))
        paired = account or server["host"]
        if any(p.get("mode", "smtp") == mode and p["account"] == paired and same(p["from"], sender) for p in self.pairs):
            raise Held(rows["pair"], "send_as_denied", (*owner, None), (*from_subject[:2], None))
        if self.lacks_key and holder.get("has_token" if office365 else "has_password") and (office365 or server["login"]):
            raise Held(rows["send"], "key_missing", ("general", None, None))
        answer = {"table_row": rows["send"], "mode": mode, "account": account if office365 or server["login"] else None, "from": shown}
        if office365:
            return answer | {"account": account, "sender": None, "envelope_sender": None, "server": None, "tls": None}
        behalf = address is not None and not plain and not holder.get("send_as")
        tls = "none" if not server["ssl"] else "implicit" if server["port"] == 465 else "starttls"
        return answer | {"account": (account or None) if server["login"] else None, "sender": address if behalf else None, "envelope_sender": address if behalf else sender,
                         "server": {"host": server["host"], "port": server["port"]}, "tls": tls}


def essence(answer):
    """The program's answer in the words of Table.answer."""
    if "error" in answer:
        return {"error": answer["codes"]}
    if answer["hold"]:
        reason = answer["hold"]["reason"]
        bare = reason in ("no_user", "no_classic_outlook", "outlook_account_missing", "send_as_denied")
        subjects = sorted(((s["kind"], s["code"], None if bare else s["setting"]) for s in answer["hold"]["subjects"]), key=repr)
        return {"table_row": answer["table_row"], "reason": reason, "subjects": subjects}
    if answer["desktop"]:
        return {key: answer[key] for key in ("table_row", "desktop", "mode", "from")}
    return {key: answer[key] for key in ("table_row", "mode", "account", "from", "sender", "envelope_sender", "server", "tls")}
