# A cloud image after its first boot: the real cloud-init, fed with user data
# that allows passwords, makes the default account and gives it a key.
apt-get update -qq
apt-get install -qq -y --no-install-recommends cloud-init >/dev/null
mkdir -p /var/lib/cloud/seed/nocloud
printf 'instance-id: i-1\nlocal-hostname: %s\n' "$(hostname)" >/var/lib/cloud/seed/nocloud/meta-data
cat >/var/lib/cloud/seed/nocloud/user-data <<END
#cloud-config
ssh_pwauth: true
ssh_deletekeys: false
disable_root: true
manage_etc_hosts: false
ssh_authorized_keys: ["$DEPLOY_KEY"]
END
printf 'datasource_list: [NoCloud]\nnetwork: {config: disabled}\napt_preserve_sources_list: true\napt: {preserve_sources_list: true}\n' >/etc/cloud/cloud.cfg.d/90_dpkg.cfg
cloud-init init --local >/dev/null 2>&1
cloud-init init >/dev/null 2>&1
cloud-init modules --mode=config >/dev/null 2>&1 || true
cloud-init modules --mode=final >/dev/null 2>&1 || true
id debian >/dev/null
grep -rqi '^PasswordAuthentication yes' /etc/ssh/sshd_config.d /etc/ssh/sshd_config
grep -q 'NOPASSWD' /etc/sudoers.d/90-cloud-init-users
runuser -u debian -- sudo true # it notes in the home of who uses it for the first time
systemctl restart ssh
