# A server that several people have worked on by hand.
apt-get update -qq
apt-get install -qq -y --no-install-recommends libpam-pwquality cracklib-runtime ntpsec >/dev/null
useradd -m -s /bin/bash alice
echo "alice:$ALICE_PASSWORD" | chpasswd
chmod 775 /home/alice
install -m 644 -o alice -g alice /dev/null /home/alice/.sudo_as_admin_successful
install -d -m 755 -o alice -g alice /home/alice/.ssh
# Windows line ends, an old key with options, comments, no line break at the end.
printf '# keys of alice\r\nfrom="10.0.0.0/8",no-pty %s\r\n\n%s' "$OTHER_KEY" "$ALICE_KEY" >/home/alice/.ssh/authorized_keys
chown alice:alice /home/alice/.ssh/authorized_keys
chmod 644 /home/alice/.ssh/authorized_keys
useradd -m -s /bin/bash carol
install -d -m 700 -o carol -g carol /home/carol/.ssh
echo "$DEPLOY_KEY" >/home/carol/.ssh/authorized_keys2
chown carol:carol /home/carol/.ssh/authorized_keys2
useradd -m -s /bin/bash bob
echo 'bob:Old-summer-0f-69' | chpasswd
groupadd ssh-users
gpasswd -q -a carol ssh-users >/dev/null 2>&1 || usermod -aG ssh-users carol

printf 'PasswordAuthentication yes\n' >/etc/ssh/sshd_config.d/00-allow.conf
printf '# does not end\nX11Forwarding yes\nMaxAuthTries 10' >/etc/ssh/sshd_config.d/zz-last.conf
cat >>/etc/ssh/sshd_config <<'END'
	PermitRootLogin	 yes
PasswordAuthentication=yes
passwordauthentication yes
AllowGroups sudo root ssh-users alice bob
AllowAgentForwarding yes
Ciphers +aes128-cbc
# PermitRootLogin no  <- tom: do NOT enable
Match User bob Address 10.0.0.0/8
  PasswordAuthentication yes
  PermitTTY yes
  MaxSessions 50
Match Group ssh-users
	X11Forwarding yes
	AllowTcpForwarding yes
END
echo 'SSHD_OPTS="-o PermitRootLogin=yes"' >/etc/default/ssh

cat >>/etc/sudoers <<'END'
Defaults !authenticate
Defaults:alice timestamp_timeout=-1
# tom's rule, ask before removing
alice	ALL = (ALL : ALL) NOPASSWD : ALL
carol	ALL=(root) NOPASSWD: /usr/bin/apt, /bin/systemctl restart *
END
printf 'Defaults env_keep += "EDITOR"\n%%sudo ALL=(ALL) NOPASSWD:ALL' >/etc/sudoers.d/10-team
chmod 440 /etc/sudoers.d/10-team

printf 'minlen = 6\n  dictcheck = 0\nusercheck=1\n' >>/etc/security/pwquality.conf
sed -i 's/pam_pwquality.so.*/pam_pwquality.so retry=5 minlen=4/' /etc/pam.d/common-password
sed -i 's/^ENCRYPT_METHOD.*/ENCRYPT_METHOD SHA256/' /etc/login.defs
printf '#!/bin/sh\n# backup by tom\nexit 0\n' >/usr/local/bin/backup.sh
printf '1 0 * * * root /usr/local/bin/backup.sh\n' >/etc/backup.cron
systemctl restart ssh
