"""Makes and checks password hashes with passlib, Django and Python's own modules.

Reads one JSON object a line ({"do": "make"|"check", "scheme", "password", "hash"})
and answers each with one line.
"""
import base64
import hashlib
import hmac
import json
import os
import sys
import warnings

warnings.simplefilter("ignore")
import crypt  # noqa: E402

import django.conf  # noqa: E402
from django.contrib.auth import hashers as dj  # noqa: E402
from passlib import hash as pl  # noqa: E402

django.conf.settings.configure(PASSWORD_HASHERS=[
    "django.contrib.auth.hashers." + name for name in (
        "PBKDF2PasswordHasher", "PBKDF2SHA1PasswordHasher", "Argon2PasswordHasher",
        "BCryptSHA256PasswordHasher", "BCryptPasswordHasher", "SHA1PasswordHasher",
        "MD5PasswordHasher", "UnsaltedSHA1PasswordHasher", "UnsaltedMD5PasswordHasher")])

PASSLIB = {
    "argon2id": pl.argon2.using(type="ID", rounds=2, memory_cost=1024, parallelism=2),
    "argon2i": pl.argon2.using(type="I", rounds=2, memory_cost=1024, parallelism=1),
    "scrypt": pl.scrypt.using(rounds=10),
    "bcrypt": pl.bcrypt.using(rounds=5),
    "bcrypt_sha256": pl.bcrypt_sha256.using(rounds=5),
    "pbkdf2_sha1": pl.pbkdf2_sha1.using(rounds=1000),
    "pbkdf2_sha256": pl.pbkdf2_sha256.using(rounds=1000),
    "pbkdf2_sha512": pl.pbkdf2_sha512.using(rounds=1000),
    "hex_md5": pl.hex_md5, "hex_sha1": pl.hex_sha1,
    "hex_sha256": pl.hex_sha256, "hex_sha512": pl.hex_sha512,
    "ldap_md5": pl.ldap_md5, "ldap_sha1": pl.ldap_sha1,
    "ldap_salted_md5": pl.ldap_salted_md5, "ldap_salted_sha1": pl.ldap_salted_sha1,
    "ldap_salted_sha256": pl.ldap_salted_sha256, "ldap_salted_sha512": pl.ldap_salted_sha512,
    "md5_crypt": pl.md5_crypt, "apr_md5_crypt": pl.apr_md5_crypt,
    "sha256_crypt": pl.sha256_crypt.using(rounds=1234), "sha512_crypt": pl.sha512_crypt.using(rounds=5000),
    "phpass": pl.phpass.using(rounds=8),
}
CRYPT = {"MD5": crypt.METHOD_MD5, "SHA256": crypt.METHOD_SHA256, "SHA512": crypt.METHOD_SHA512}


def fusionauth(scheme, password, salt, factor):
    """FusionAuth's reference page, in Python."""
    p, s = password.encode(), base64.b64decode(salt)
    if scheme == "salted-hmac-sha256":
        return base64.b64encode(hmac.new(s, p, hashlib.sha256).digest()).decode()
    if scheme.startswith("salted-pbkdf2"):
        name = "sha512" if "sha512" in scheme else "sha256"
        return base64.b64encode(hashlib.pbkdf2_hmac(name, p, s, factor, 64 if scheme.endswith("-512") else 32)).decode()
    result = p + s
    for _ in range(factor):
        result = hashlib.new(scheme.split("-")[1], result).digest()
    return base64.b64encode(result).decode()


def make(scheme, password):
    kind, _, name = scheme.partition(":")
    if kind == "passlib":
        return PASSLIB[name].hash(password)
    if kind == "django":
        hasher = dj.get_hasher(name)
        hasher.iterations, hasher.rounds = 1000, 5
        salt = "" if name.startswith("unsalted") else hasher.salt()
        return hasher.encode(password, salt)
    if kind == "crypt":
        return crypt.crypt(password, crypt.mksalt(CRYPT[name]))
    if kind == "hashlib" and name == "scrypt":  # Django 4's format; Debian 12 has Django 3
        salt = os.urandom(8).hex()
        key = hashlib.scrypt(password.encode(), salt=salt.encode(), n=1024, r=8, p=2, dklen=64)
        return "scrypt$%s$1024$8$2$%s" % (salt, base64.b64encode(key).decode())
    if kind == "fusionauth":
        salt, factor = base64.b64encode(os.urandom(16)).decode(), 1009
        return json.dumps([name, salt, factor, fusionauth(name, password, salt, factor)])
    raise KeyError(scheme)


def check(scheme, password, encoded):
    kind, _, name = scheme.partition(":")
    if kind == "passlib":
        return PASSLIB[name].verify(password, encoded)
    if kind == "django":
        return dj.identify_hasher(encoded).verify(password, encoded)
    if kind == "crypt":
        return crypt.crypt(password, encoded) == encoded
    if kind == "hashlib":
        _, salt, n, r, p, want = encoded.split("$")
        key = hashlib.scrypt(password.encode(), salt=salt.encode(), n=int(n), r=int(r), p=int(p), dklen=64)
        return base64.b64encode(key).decode() == want
    raise KeyError(scheme)


for line in sys.stdin:
    ask = json.loads(line)
    if ask["do"] == "make":
        answer = make(ask["scheme"], ask["password"])
    else:
        answer = check(ask["scheme"], ask["password"], ask["hash"])
    print(json.dumps(answer), flush=True)
