"""Secrets of every common kind, generated: the shapes are the vendors', the characters a seeded generator's. Not one was ever issued."""

from __future__ import annotations

import base64
import json
import random
import string
from collections.abc import Iterator

ALNUM, HEX, UPPER = string.ascii_letters + string.digits, "0123456789abcdef", string.ascii_uppercase + string.digits


class Maker:
    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)

    def of(self, alphabet: str, n: int) -> str:
        return "".join(self.rng.choice(alphabet) for _ in range(n))

    def b64(self, n: int) -> str:
        return base64.b64encode(self.rng.randbytes(n)).decode()

    def word(self) -> str:
        return (
            self.rng.choice(["Sommer", "tiger", "Hafen", "winter", "Koala", "matrix", "Bergen"])
            + str(self.rng.randrange(10, 9999))
            + self.rng.choice("!#$?%")
        )

    def jwt(self) -> str:
        def part(value: object) -> str:
            return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

        return f"{part({'alg': 'HS256', 'typ': 'JWT'})}.{part({'sub': self.of('0123456789', 9), 'iat': 1767225600})}.{self.of(ALNUM + '-_', 43)}"

    def pem(self, kind: str) -> str:
        body = "\n".join(self.b64(48) for _ in range(6))
        return f"-----BEGIN {kind}-----\n{body}\n-----END {kind}-----"


def secrets_in_text(seed: int = 0) -> Iterator[tuple[str, str, str]]:
    """(kind, text, secret): the secret stands in the text as it would in code, configuration, a log or a chat."""
    m = Maker(seed)
    aws, aws_secret = "AKIA" + m.of(UPPER, 16), m.of(ALNUM + "/+", 40)
    yield "aws key id", f"aws_access_key_id = {aws}", aws
    yield "aws key id in prose", f"my key {aws} stopped working", aws
    yield "aws secret, ini", f"aws_secret_access_key = {aws_secret}", aws_secret
    yield "aws secret, env", f"export AWS_SECRET_ACCESS_KEY={aws_secret}", aws_secret
    yield "aws session token", f"AWS_SESSION_TOKEN={(t := m.b64(90))}", t
    key = m.b64(64)
    yield "azure connection", f"DefaultEndpointsProtocol=https;AccountName=shop;AccountKey={key};EndpointSuffix=core.windows.net", key
    yield "azure client secret", f'AZURE_CLIENT_SECRET="{(t := m.of(ALNUM, 3) + "8Q~" + m.of(ALNUM + "-_.", 34))}"', t
    yield (
        "azure sas",
        f"https://shop.blob.core.windows.net/c?sv=2024-11-04&sp=r&sig={(t := m.b64(32).replace('+', '%2B').replace('/', '%2F').replace('=', '%3D'))}",
        t,
    )
    yield "azure devops", f"AZURE_DEVOPS_PAT={(t := m.of(string.ascii_lowercase + '234567', 52))}", t
    yield "gcp api key", f"key={(t := 'AIza' + m.of(ALNUM + '-_', 35))}", t
    pem = m.pem("PRIVATE KEY").replace("\n", "\\n")
    yield (
        "gcp service account",
        json.dumps({"type": "service_account", "private_key_id": "x", "private_key": pem.replace("\\n", "\n")}),
        pem,
    )
    yield "gcp oauth", f"client_secret: {(t := 'GOCSPX-' + m.of(ALNUM + '-_', 28))}", t
    yield "gcp refresh token", f"refresh_token: {(t := '1//0' + m.of(ALNUM + '-_', 60))}", t
    yield "github classic", f"git clone with {(t := 'ghp_' + m.of(ALNUM, 36))}", t
    yield "github oauth", f"token {(t := 'gho_' + m.of(ALNUM, 36))}", t
    yield "github app", f"GITHUB_TOKEN={(t := 'ghs_' + m.of(ALNUM, 36))}", t
    yield "github fine-grained", f"use {(t := 'github_pat_' + m.of(ALNUM, 22) + '_' + m.of(ALNUM, 59))} please", t
    yield "github in url", f"https://x-access-token:{(t := 'ghp_' + m.of(ALNUM, 36))}@github.com/a/b.git", t
    yield "gitlab", f"PRIVATE-TOKEN: {(t := 'glpat-' + m.of(ALNUM + '-_', 20))}", t
    yield "gitlab runner", f"token = {(t := 'glrt-' + m.of(ALNUM + '-_', 20))}", t
    yield "slack bot", f"SLACK_BOT_TOKEN=xoxb-{(t := m.of('0123456789', 12) + '-' + m.of('0123456789', 12) + '-' + m.of(ALNUM, 24))}", t
    yield "slack user", f"xoxp-{(t := m.of('0123456789', 11) + '-' + m.of('0123456789', 11) + '-' + m.of(HEX, 32))} is the one", t
    yield "slack app", f"xapp-1-{(t := 'A' + m.of(UPPER, 10) + '-' + m.of('0123456789', 13) + '-' + m.of(HEX, 64))}", t
    yield "slack webhook", f"https://hooks.slack.com/services/T{m.of(UPPER, 8)}/B{m.of(UPPER, 8)}/{(t := m.of(ALNUM, 24))}", t
    yield "discord webhook", f"https://discord.com/api/webhooks/{m.of('0123456789', 18)}/{(t := m.of(ALNUM + '-_', 68))}", t
    yield "discord bot", f"bot.run('{(t := m.of(ALNUM, 24) + '.' + m.of(ALNUM, 6) + '.' + m.of(ALNUM + '-_', 38))}')", t
    yield "telegram bot", f"telegram {(t := m.of('123456789', 10) + ':AA' + m.of(ALNUM + '-_', 33))}", t
    yield "stripe live", f"stripe.api_key = '{(t := 'sk_live_' + m.of(ALNUM, 24))}'", t
    yield "stripe restricted", f"rk_live_{(t := m.of(ALNUM, 40))} gives 403", t
    yield "stripe webhook", f"STRIPE_WEBHOOK={(t := 'whsec_' + m.of(ALNUM, 32))}", t
    yield "openai", f"OpenAI key {(t := 'sk-proj-' + m.of(ALNUM + '-_', 74))}", t
    yield "openai old", f"openai.api_key='{(t := 'sk-' + m.of(ALNUM, 48))}'", t
    yield "anthropic", f"x-api-key: {(t := 'sk-ant-api03-' + m.of(ALNUM + '-_', 93) + 'AA')}", t
    yield "hugging face", f"login(token='{(t := 'hf_' + m.of(string.ascii_letters, 34))}')", t
    yield "npm", f"//registry.npmjs.org/:_authToken={(t := 'npm_' + m.of(ALNUM, 36))}", t
    yield "npm basic", f"//npm.shop.internal/:_auth={(t := m.b64(24))}", t
    yield "pypi", f"password = {(t := 'pypi-AgEIcHlwaS5vcmc' + m.of(ALNUM + '-_', 60))}", t
    yield "sendgrid", f"SENDGRID={(t := 'SG.' + m.of(ALNUM + '-_', 22) + '.' + m.of(ALNUM + '-_', 43))}", t
    yield "mailgun", f"mailgun key-{(t := m.of(HEX, 32))}", t
    yield "mailchimp", f"{(t := m.of(HEX, 32) + '-us12')} is our mailchimp key", t
    yield "twilio", f'auth_token = "{(t := m.of(HEX, 32))}"', t
    yield "twilio api key", f"SK{(t := m.of(HEX, 32))}", t
    yield "shopify", f"X-Shopify-Access-Token: {(t := 'shpat_' + m.of(HEX, 32))}", t
    yield "square", f"square {(t := 'EAAA' + m.of(ALNUM + '-_', 60))}", t
    yield "digital ocean", f"doctl auth init -t {(t := 'dop_v1_' + m.of(HEX, 64))}", t
    yield "heroku", f"HEROKU_API_KEY={(t := '-'.join(m.of(HEX, n) for n in (8, 4, 4, 4, 12)))}", t
    yield "databricks", f"DATABRICKS_TOKEN: {(t := 'dapi' + m.of(HEX, 32))}", t
    yield "vault token", f"VAULT_TOKEN={(t := 'hvs.' + m.of(ALNUM + '-_', 90))}", t
    yield "terraform cloud", f'token = "{(t := m.of(ALNUM, 14) + ".atlasv1." + m.of(ALNUM, 60))}"', t
    yield "age key", f"{(t := 'AGE-SECRET-KEY-1' + m.of('QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L', 58))}", t
    yield "new relic", f"NRAK-{(t := m.of(UPPER, 27))}", t
    yield "datadog", f"DD_API_KEY={(t := m.of(HEX, 32))}", t
    yield "sentry dsn", f"dsn='https://{(t := m.of(HEX, 32))}@o12345.ingest.sentry.io/99'", t
    yield "jwt", f"Authorization: Bearer {(t := m.jwt())}", t
    yield "jwt alone", f"the cookie was {(t := m.jwt())}", t
    yield "bearer opaque", f'-H "Authorization: Bearer {(t := m.of(ALNUM, 40))}"', t
    yield "rsa key", f"here: {(t := m.pem('RSA PRIVATE KEY'))}", t
    yield "openssh key", f"{(t := m.pem('OPENSSH PRIVATE KEY'))}\n", t
    yield "ec key", f"key = '''{(t := m.pem('EC PRIVATE KEY'))}'''", t
    yield "pgp key", f"{(t := m.pem('PGP PRIVATE KEY BLOCK'))}", t
    yield (
        "postgres url",
        f"DATABASE_URL=postgresql://shop:{(t := m.word())}@db.internal:5432/shop".replace("#", "x").replace("?", "y").replace("%", "z"),
        t.replace("#", "x").replace("?", "y").replace("%", "z"),
    )
    yield "mongo url", f"mongodb+srv://root:{(t := m.of(ALNUM, 16))}@cluster0.abcde.mongodb.net/test", t
    yield "redis url", f"redis://:{(t := m.of(ALNUM, 24))}@cache:6379/0", t
    yield "amqp url", f"amqp://guest:{(t := m.of(ALNUM, 10))}@rabbit:5672//", t
    yield "jdbc", f"jdbc:mysql://db:3306/shop?user=app&password={(t := m.of(ALNUM, 14))}", t
    yield "odbc", f"Server=db;Database=shop;Uid=sa;Pwd={(t := m.word())};", t
    yield "basic auth header", f"Authorization: Basic {(t := base64.b64encode(f'app:{m.word()}'.encode()).decode())}", t
    yield "basic auth curl", f"curl -u admin:{(t := m.word())} https://shop.internal/api", t
    yield "url with password", f"https://admin:{(t := m.of(ALNUM, 12))}@intranet.shop.internal/", t
    yield "env password", f"DB_PASSWORD={(t := m.word())}", t
    yield "env quoted", f'MAIL_PASSWORD="{(t := m.word())}"', t
    yield "yaml password", f"database:\n  user: app\n  password: {(t := m.word())}\n", t
    yield "json password", json.dumps({"user": "app", "password": (t := m.word())}), t
    yield "python literal", f"PASSWORD = '{(t := m.word())}'", t
    yield "js literal", f'const apiKey = "{(t := m.of(ALNUM, 32))}";', t
    yield "keyword argument", f"connect(host='db', password='{(t := m.word())}')", t
    yield "dict literal", f"headers = {{'X-Api-Key': '{(t := m.of(HEX, 40))}'}}", t
    yield "netrc", f"machine api.shop.internal login app password {(t := m.word())}", t
    yield "xml", f'<add key="ApiKey" value="{(t := m.of(ALNUM, 28))}"/><password>{m.of(ALNUM, 9)}</password>', t
    yield "cli option", f"mysql --user=app --password={(t := m.word())} shop", t
    yield "chat is", f"my password is {(t := m.word())} and it does not work", t
    yield "chat was", f"the old password was {(t := m.word())}", t
    yield "chat colon", f"pw: {(t := m.word())}", t
    yield "chat reset", f"you reset my password to {(t := m.word())} yesterday", t
    yield "chat passcode", f"My passcode: {(t := m.of('0123456789', 8))}", t
    yield "chat wifi", f"the wifi password is {(t := m.word())}", t
    yield "chat try", f"try logging in with password {(t := m.word())}", t
    yield "chat secret key", f"secret key is {(t := m.of(HEX, 40))}", t
