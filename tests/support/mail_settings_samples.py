"""Mail settings, statuses and messages by chance, with a seed: good, blank and malformed values, all modes, both editions.

Every owner's values have a domain of their own, so that a value shows whose it is. Some addresses are of another script than Latin without accents,
their domain also as a mail server has it.
"""

import random

USERS = ["ANNA", "BEN", "cleo@code.example", "DORA"]
DOCUMENTS = ["INV", "STM"]
MODES = ["outlook", "office365", "office365", "smtp", "smtp", "other_client"]
STATES = ["authenticated"] * 5 + ["never_tried", "sign_in_failed", "declined", "approval_required", "revoked", "idle"]


def in_a_labels(domain):
    return domain.encode("idna").decode()


def of_other_scripts(local, domain):
    """Addresses that only look alike, and two that are the same."""
    return [f"é{local}@{domain}", f"É{local}@{domain}", f"{local}@mü{domain}", f"{local.upper()}@{in_a_labels('mü' + domain)}", f"почта.{local}@{domain}"]


class Chance:
    """more: so many more users, forms and models than the few that have a name."""

    def __init__(self, seed, more=0):
        self.random = random.Random(seed)
        self.users = USERS + [f"U{n}" for n in range(more)]
        self.documents = DOCUMENTS + [f"K{n}" for n in range(more)]

    def pick(self, *values):
        return self.random.choice(values)

    def mostly(self, part=8):
        return self.random.randrange(part) != 0

    def address(self, local, domain):
        if not self.mostly():
            return self.pick(*of_other_scripts(local, domain), f"Größe <é{local}@mü{domain}>", f"{local}@mü_{domain}")
        return self.pick(f"{local}@{domain}", f"{local}@{domain}", f"{local}@{domain}", f" {local.upper()}@{domain} ", f"Some Name <{local}@{domain}>", f"other-{local}@{domain}",
                         "", "  ", f"{local}@", f"{local} at {domain}", "<>")

    def plain_address(self, local, domain):
        if not self.mostly():
            return self.pick(*of_other_scripts(local, domain), f"{local}@-mü{domain}")
        return self.pick(f"{local}@{domain}", f"{local}@{domain}", f"{local}@{domain}", f"Other-{local}@{domain}", "", " ", f"@{domain}", f"{local}@-{domain}")

    def account(self, local, domain):
        if not self.mostly():
            return self.pick("é" + local, *of_other_scripts(local, domain))
        return self.pick(local, f"{local}@{domain}", f"{local}@{domain}", f" {local}@{domain}", "", "  ", f"{local}@@{domain}")

    def server(self, host, prefix=""):
        server = {"server": host if self.mostly() else self.pick("", " "), "port": self.pick(25, 465, 587), "use_ssl": self.mostly(), "login": self.mostly(6),
                  "allow_cleartext": self.pick(True, False)}
        return {prefix + key: value for key, value in server.items() if self.mostly(10) or key == "server"}

    def secrets(self):
        return {"has_password": self.mostly(), "has_token": self.mostly()}

    def general(self):
        general = {"edition": self.pick("on_premise", "on_premise", "cloud"), "mode": self.pick("not_configured", "smtp", "smtp", "office365", "office365"),
                   "default_user_mode": self.pick("not_configured", *MODES), "account": self.account("general", "general.example"),
                   "from": self.address("erp", "general.example"), "send_as": self.pick(True, False), **self.server("smtp.general.example"), **self.secrets()}
        if self.pick(True, False):
            general |= self.server("users.general.example", "user_")
        return {key: value for key, value in general.items() if key not in ("edition", "mode", "default_user_mode") or self.mostly(10)}

    def user(self, code):
        return {"code": code, "enabled": self.mostly(), "email": self.plain_address(code[:4].lower(), "user.example"), "mode": self.pick("same_as_general", "same_as_general", *MODES),
                "account": self.account(code[:4].lower(), "user.example"), "from": self.address("sales", "user.example"), "send_as": self.pick(True, False),
                **self.server("smtp.user.example"), **self.secrets()}

    def document(self, code, domain):
        return {"code": code, "from": self.address("office", domain), "mode": self.pick("not_configured", "", "outlook", "general", "general", "general", "general")}

    def settings(self):
        return {"format": "mailroom settings 1", "general": self.general(), "users": [self.user(code) for code in self.users],
                "rows": [self.document(code, "row.example") for code in self.documents], "models": [self.document(code, "model.example") for code in self.documents]}

    def status_of(self, owner, local, domain):
        status = {"owner": owner, "state": self.pick(*STATES), "lacks_sending_for_others": self.pick(True, False, False)}
        if self.mostly(3):
            status["mailbox"] = self.pick(f"{local}@{domain}", f"{local.upper()}@{domain}", f"mailbox.{local}@{domain}", f"sales@{domain}", "office@row.example", *of_other_scripts(local, domain))
            if self.pick(True, False):
                status["aliases"] = [f"{local}@{domain}", f"x@{domain}", *of_other_scripts(local, domain)][self.pick(0, 1, 2, 3, 4, 5):]
        if not self.mostly(6):
            status["account"] = self.pick(local, f"{local}@{domain}")
        return status

    def pair(self):
        user = self.pick(*self.users)[:4].lower()
        account, domain, local, of = self.pick(("general", "general.example", "office", "row.example"), ("general", "general.example", "OFFICE", "model.example"),
                                               ("general", "general.example", "erp", "general.example"), (user, "user.example", "sales", "user.example"),
                                               (user, "user.example", user, "user.example"))
        accounts, senders = [account, f"{account}@{domain}", f"{account}@{domain}", "smtp.general.example"], [f"{local}@{of}"]
        if not self.mostly():
            accounts, senders = ["é" + account, *accounts, *of_other_scripts(account, domain)], of_other_scripts(local, of)
        return {"mode": self.pick("smtp", "office365"), "account": self.pick(*accounts), "from": self.pick(*senders)}

    def agent(self, user):
        accounts = [{"address": self.pick("office@row.example", "Office@model.example", "own@user.example", *of_other_scripts("office", "row.example")), "linked": not self.mostly(4)} for _ in range(2)]
        return {"user": user, "outlook": self.pick("none", "only_new", "classic", "classic", "classic", "classic"), "accounts": accounts}

    def status(self):
        accounts = [self.status_of("general", "general", "general.example")] if self.mostly(6) else []
        accounts += [self.status_of(f"user {code}", code[:4].lower(), "user.example") for code in self.users if self.mostly(6)]
        logins = [{"owner": owner, "reason": self.pick("auth_failed", "basic_login_ended")} for owner in ("general", *(f"user {code}" for code in self.users)) if not self.mostly(6)]
        return {"format": "mailroom status 1", "accounts": accounts, "refused_logins": logins, "refused_pairs": [self.pair() for _ in range(self.pick(0, 2, 8) * len(self.users))],
                "agents": [self.agent(code) for code in self.users if self.mostly(4)], **({} if self.mostly() else {"key_missing": True})}

    def message(self):
        message = {"user": self.pick(*self.users, *self.users, "NOBODY", "", "anna", " ANNA "), "mobile": self.random.randrange(5) == 0}
        named = self.random.randrange(5)
        if named in (1, 2, 3):
            message[self.pick("form", "row") if named < 3 else "model"] = self.pick(*self.documents, *self.documents, *self.documents, "NONE")
        if named == 4:
            message["model"] = self.pick(*self.documents)
            if not self.mostly(3):
                message["form"] = self.pick(*self.documents)
        if named and not self.mostly(4):
            message["addressed"] = self.pick(True, False)
        elif not self.mostly(4):
            del message["mobile"]
            message["category"] = self.pick("standard", "mass", "dispatch", "mobile")
        return message
