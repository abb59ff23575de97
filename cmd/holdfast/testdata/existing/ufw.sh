# A server whose firewall is ufw, with an admin of its own.
apt-get update -qq
apt-get install -qq -y --no-install-recommends ufw iptables >/dev/null
useradd -m -G sudo -s /bin/bash alice
echo "alice:$ALICE_PASSWORD" | chpasswd
install -d -m 700 -o alice -g alice /home/alice/.ssh
echo "$ALICE_KEY" >/home/alice/.ssh/authorized_keys
chown alice:alice /home/alice/.ssh/authorized_keys
chmod 600 /home/alice/.ssh/authorized_keys
install -d -m 700 /root/.ssh
ufw allow 22/tcp >/dev/null
ufw allow 80,443/tcp >/dev/null
ufw limit from 192.0.2.0/24 to any port 5432 proto tcp comment 'reports' >/dev/null
ufw default deny incoming >/dev/null
ufw --force enable >/dev/null
ufw status | grep -q 'Status: active'
