# What a hardening role in the style of dev-sec leaves: sshd_config as a whole
# from a template without an Include, login.defs, limits, sysctl, a profile, and
# the account that Ansible comes by.
useradd -m -G sudo -s /bin/bash alice
echo "alice:$ALICE_PASSWORD" | chpasswd
useradd -m -s /bin/bash deploy
for name in alice deploy; do install -d -m 700 -o $name -g $name /home/$name/.ssh; done
echo "$ALICE_KEY" >/home/alice/.ssh/authorized_keys
echo "from=\"10.0.0.0/8,fd00::/8\",no-agent-forwarding $DEPLOY_KEY" >/home/deploy/.ssh/authorized_keys
for name in alice deploy; do chown $name:$name /home/$name/.ssh/authorized_keys; chmod 600 /home/$name/.ssh/authorized_keys; done
groupadd sftponly
printf '# Ansible managed\ndeploy ALL=(ALL) NOPASSWD: ALL\n' >/etc/sudoers.d/deploy
chmod 440 /etc/sudoers.d/deploy
sftp=$(awk '$1 == "Subsystem" {print $3}' /etc/ssh/sshd_config)

cat >/etc/ssh/sshd_config <<END
# Ansible managed
# This is the ssh client system-wide configuration file.
Port 22
AddressFamily any
ListenAddress 0.0.0.0
ListenAddress ::
HostKey /etc/ssh/ssh_host_rsa_key
HostKey /etc/ssh/ssh_host_ecdsa_key
HostKey /etc/ssh/ssh_host_ed25519_key
HostKeyAlgorithms ssh-ed25519,rsa-sha2-512,rsa-sha2-256,ecdsa-sha2-nistp256
StrictModes yes
SyslogFacility AUTH
LogLevel VERBOSE
Ciphers chacha20-poly1305@openssh.com,aes256-gcm@openssh.com,aes128-gcm@openssh.com,aes256-ctr,aes192-ctr,aes128-ctr
MACs hmac-sha2-512-etm@openssh.com,hmac-sha2-256-etm@openssh.com,umac-128-etm@openssh.com,hmac-sha2-512,hmac-sha2-256
KexAlgorithms sntrup761x25519-sha512@openssh.com,curve25519-sha256@libssh.org,diffie-hellman-group-exchange-sha256
PermitRootLogin no
LoginGraceTime 30s
MaxAuthTries 2
MaxSessions 10
MaxStartups 10:30:60
PubkeyAuthentication yes
IgnoreRhosts yes
HostbasedAuthentication no
UsePAM yes
PasswordAuthentication no
PermitEmptyPasswords no
ChallengeResponseAuthentication no
KerberosAuthentication no
GSSAPIAuthentication no
AllowUsers alice deploy
AllowGroups sudo deploy
TCPKeepAlive no
ClientAliveInterval 300
ClientAliveCountMax 3
PermitTunnel no
AllowTcpForwarding no
AllowAgentForwarding no
GatewayPorts no
X11Forwarding no
X11UseLocalhost yes
PermitUserEnvironment no
Compression no
UseDNS no
PrintMotd no
PrintLastLog no
Banner none
Subsystem sftp $sftp -l INFO -f LOCAL6 -u 0027
Match Group sftponly
	ForceCommand internal-sftp -l INFO -f LOCAL6 -u 0027
	ChrootDirectory /home/%u
	AllowTcpForwarding no
	AllowAgentForwarding no
	PasswordAuthentication yes
	PermitRootLogin no
	X11Forwarding no
END
chmod 600 /etc/ssh/sshd_config
sed -i -e 's/^UMASK.*/UMASK 027/' -e 's/^PASS_MAX_DAYS.*/PASS_MAX_DAYS 60/' -e 's/^PASS_MIN_DAYS.*/PASS_MIN_DAYS 7/' -e 's/^ENCRYPT_METHOD.*/ENCRYPT_METHOD SHA512/' /etc/login.defs
printf '# Ansible managed\n* hard core 0\n' >/etc/security/limits.d/10.hardcore.conf
printf '# Ansible managed\nnet.ipv4.conf.all.rp_filter = 1\nnet.ipv4.ip_forward = 0\n' >/etc/sysctl.d/99-hardening.conf
printf '# Ansible managed\nreadonly TMOUT=900\n' >/etc/profile.d/autologout.sh
sed -i 's/pam_unix.so obscure.*/pam_unix.so obscure sha512 rounds=65536 remember=5/' /etc/pam.d/common-password
usermod -L root
usermod -s /usr/sbin/nologin games
systemctl restart ssh
