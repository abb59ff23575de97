# What the scripts that came with the guide leave behind: an admin, replaced
# files for passwords, sudo, sshd and PAM, IPv4 rules, Monit, root without a
# password. They ask for the second factor by AuthenticationMethods, too; here
# the module is in place and the key is enough.
apt-get update -qq
printf 'iptables-persistent iptables-persistent/autosave_v%d boolean true\n' 4 6 | debconf-set-selections
apt-get install -qq -y --no-install-recommends iptables-persistent libpam-google-authenticator >/dev/null
! apt-cache show monit >/dev/null 2>&1 || apt-get install -qq -y --no-install-recommends monit >/dev/null

cat >/etc/pam.d/common-password <<'END'
# here are the per-package modules (the "Primary" block)
password	requisite			pam_cracklib.so retry=3 minlen=10 difok=3 ucredit=-1 lcredit=-2 dcredit=-1 ocredit=-1 minlen=8
password	[success=1 default=ignore]	pam_unix.so obscure use_authtok try_first_pass sha512
# here's the fallback if no module succeeds
password	requisite			pam_deny.so
password	required			pam_permit.so
END

cat >/etc/sudoers <<'END'
Defaults	env_reset
Defaults	mail_badpass
Defaults	secure_path="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
root	ALL=(ALL:ALL) ALL
%sudo	ALL=(ALL:ALL) ALL
#includedir /etc/sudoers.d
END
chmod 440 /etc/sudoers

useradd -m -G sudo -s /bin/bash alice
echo "alice:$ALICE_PASSWORD" | chpasswd -c YESCRYPT
install -d -m 700 -o alice -g alice /home/alice/.ssh
echo "$ALICE_KEY" >/home/alice/.ssh/authorized_keys
chown alice:alice /home/alice/.ssh/authorized_keys
chmod 600 /home/alice/.ssh/authorized_keys

cat >/etc/ssh/sshd_config <<'END'
# Package generated configuration file
Port 22
Protocol 2
HostKey /etc/ssh/ssh_host_rsa_key
HostKey /etc/ssh/ssh_host_dsa_key
HostKey /etc/ssh/ssh_host_ecdsa_key
HostKey /etc/ssh/ssh_host_ed25519_key
UsePrivilegeSeparation yes
KeyRegenerationInterval 3600
ServerKeyBits 1024
SyslogFacility AUTH
LogLevel INFO
LoginGraceTime 120
PermitRootLogin no
StrictModes yes
RSAAuthentication yes
PubkeyAuthentication yes
IgnoreRhosts yes
RhostsRSAAuthentication no
HostbasedAuthentication no
PermitEmptyPasswords no
ChallengeResponseAuthentication yes
PasswordAuthentication no
X11Forwarding yes
X11DisplayOffset 10
PrintMotd no
PrintLastLog yes
TCPKeepAlive yes
AcceptEnv LANG LC_*
Subsystem sftp /usr/lib/openssh/sftp-server
UsePAM yes
END
sed -i 's/^@include common-auth/&\nauth [success=done new_authtok_reqd=done default=die] pam_google_authenticator.so nullok/' /etc/pam.d/sshd

cat >/etc/iptables/rules.v4 <<'END'
*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:ICMP - [0:0]
:TCP - [0:0]
:UDP - [0:0]
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -i lo -j ACCEPT
-A INPUT -m conntrack --ctstate INVALID -j DROP
-A INPUT -p udp -m conntrack --ctstate NEW -j UDP
-A INPUT -p tcp --tcp-flags FIN,SYN,RST,ACK SYN -m conntrack --ctstate NEW -j TCP
-A INPUT -p icmp -m conntrack --ctstate NEW -j ICMP
-A TCP -p tcp --dport 22 -j ACCEPT
-A TCP -p tcp --dport 80 -j ACCEPT
-A TCP -p tcp --dport 443 -j ACCEPT
-A TCP -p tcp --dport 3000 -j ACCEPT
-A TCP -p tcp --dport 3003 -j ACCEPT
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
-A PREROUTING -p tcp --dport 80 -j REDIRECT --to-ports 3000
-A PREROUTING -p tcp --dport 443 -j REDIRECT --to-ports 3003
COMMIT
END
systemctl enable -q netfilter-persistent
systemctl restart netfilter-persistent

install -d -m 755 /etc/monit/conf.d /etc/monit/monitrc.d
cat >/etc/monit/monitrc.d/ssh-logins <<'END'
check file ssh_logins with path /var/log/auth.log
  ignore match "/etc/monit/monitrc.d/ssh-logins-ignore"
  if match "Accepted keyboard-interactive/pam" then exec "/usr/local/bin/monit-slack-pushover.rb"
END
printf 'Accepted publickey for backup from 10\\.0\\.0\\.5\n' >/etc/monit/monitrc.d/ssh-logins-ignore
ln -sf ../monitrc.d/ssh-logins /etc/monit/conf.d/ssh-logins
printf '#!/usr/bin/env ruby\n# posts [host] service - description\n' >/usr/local/bin/monit-slack-pushover.rb
chmod 755 /usr/local/bin/monit-slack-pushover.rb

mkdir -p /usr/local/application/config
chmod 700 /usr/local/application/config
usermod -p '*' root
systemctl restart ssh
