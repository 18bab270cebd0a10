# The commands of the project; `make` alone explains them.
.DEFAULT_GOAL := help
.NOTPARALLEL:
SHELL = bash
.PHONY: help demo destroy demo-proxmox destroy-proxmox demo-kadeploy demo-mixed demo-experiment lock check-reproducible schemas bench test test-static test-unit test-sanity test-contract test-backends test-e2e test-damage test-images test-platforms test-travel test-security test-guests test-clients test-machines test-sealed test-boot test-tools test-nixpkgs test-oar test-kexec test-awx test-compositions test-drift test-report test-docs fuzz chaos clean

# Into a pipe or a file, Ansible would write nothing for minutes.
export PYTHONUNBUFFERED = 1

# The newest ansible-core that setup.sh could install.
venv = $(shell printf '%s\n' .cache/venv/3.* | sort -rV | head -n 1)
# Containers and network bridges need root.
sudo = $(if $(filter 0,$(shell id -u)),,sudo)
playbook = env PATH="$(CURDIR)/$(venv)/bin:$$PATH" ansible-playbook -i inventories/demo
proxmox = $(sudo) env PATH="$(CURDIR)/$(venv)/bin:$$PATH" tests/tools/demo_proxmox.sh

help: ## this list
	@sed -n 's/^\([a-z0-9-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 28

demo: ## build the demo composition, boot it as virtual machines on this computer, verify it
	@tests/tools/demo.sh

destroy: setup-demo ## stop and remove the demo's machines
	@$(playbook) playbooks/destroy.yml

demo-proxmox: setup-demo ## deploy the example web on a simulated Proxmox VE whose virtual machines really boot
	@$(proxmox) deploy

destroy-proxmox: setup-demo ## stop and remove the machines of demo-proxmox, and the simulator
	@$(proxmox) destroy

demo-kadeploy: setup-demo ## on Debian 12: reserve four machines with a real OAR, deploy the example web on them by a simulated Kadeploy, give them back
	@$(sudo) env PATH="$(CURDIR)/$(venv)/bin:$$PATH" PYTHONPATH=.cache/collections:tests/e2e \
		$(venv)/bin/python tests/tools/demo_kadeploy.py

demo-mixed: setup-demo ## three immutable nodes in an inventory of old: its playbooks, drift, hooks at a load balancer
	@$(sudo) env PATH="$(CURDIR)/$(venv)/bin:$$PATH" PYTHONPATH=.cache/collections:tests/e2e \
		$(venv)/bin/python tests/tools/demo_mixed.py

demo-experiment: setup-demo ## NFS, GlusterFS and CephFS measured with fio: 36 trials, killed in the middle and gone on with, a page at the end
	@$(sudo) tests/tools/demo_experiment.sh

lock: setup-demo ## pin the examples' packages to what the configured Debian mirror has now
	@$(playbook) -i inventories/web playbooks/lock.yml

check-reproducible: setup-demo ## build every image of the examples a second time and compare
	@set -o pipefail; $(playbook) -i inventories/web playbooks/check_reproducible.yml | tee .cache/reproducible; \
		code=$$?; grep -o '[0-9]* images, [0-9]* reproducible' .cache/reproducible | tail -n 1; exit $$code

schemas: setup-demo ## write docs/schemas and the tables of docs/formats.md from the types of the model
	@$(venv)/bin/python tests/tools/schemas.py

bench: setup-test ## run the benchmarks, one line each; takes half an hour
	@code=0; for name in inventory driver noop plan10k fleet boot confined variation audit proxmox proxmox_fleet kadeploy sweep; do \
		$(sudo) env PYTHONPATH=.cache/collections:tests/e2e $(venv)/bin/python tests/benchmarks/$$name.py || code=1; \
	done; exit $$code

test: ## the whole gate
	@tests/tools/gate.sh static unit smoke sanity contract e2e

test-static: ## linters, types, documentation
	@tests/tools/gate.sh static

test-unit: ## unit tests on every supported ansible-core
	@tests/tools/gate.sh unit

test-sanity: ## ansible-test, galaxy-importer
	@tests/tools/gate.sh sanity

test-contract: ## what every platform must do, over each that there is
	@tests/tools/gate.sh contract

test-backends: ## the same, over the other ways by which some platforms are asked; not part of `make test`
	@tests/tools/gate.sh backends

test-e2e: ## end-to-end tests
	@tests/tools/gate.sh smoke e2e

test-damage: ## that nothing is touched that was not meant, on real nodes; not part of `test`
	@tests/tools/gate.sh damage

test-images: ## what is built, by each builder and in each format, whole; not part of `test`
	@tests/tools/gate.sh images

test-platforms: ## what one platform does that others do not, on real nodes; not part of `test`
	@tests/tools/gate.sh platforms

test-travel: ## what runs take to another host over SSH and bring back, on every ansible-core; not part of `test`
	@tests/tools/gate.sh travel

test-security: ## as root: the tests that docs/security.md names
	@tests/tools/gate.sh security

test-guests: ## as root: whole systems in virtual machines that really boot, of QEMU and of a simulated Proxmox VE; not part of `test`
	@tests/tools/gate.sh guests

test-clients: ## as root: python-grid5000, execo and EnOSlib, as they are, on the stand-ins for Kadeploy and Grid'5000, and on deployments; not part of `test`
	@tests/tools/gate.sh clients

test-machines: ## as root: machines of the stand-in for Kadeploy that boot what is deployed; not part of `test`
	@tests/tools/gate.sh machines

test-sealed: ## what plays that were there before can do to nodes that are sealed, warned of, and open, on every ansible-core; not part of `test`
	@tests/tools/gate.sh sealed

test-boot: ## as root: that what is unpacked to a partition boots from it; not part of `test`
	@tests/tools/gate.sh boot

test-kexec: ## as root: emulated machines with a Debian that start nodes with kexec, from memory and over NFS, and get back; not part of `test`
	@tests/tools/gate.sh kexec

test-tools: ## as root: the builders with Nix 2.26 and 2.34, and with Guix, from other Debian releases; not part of `test`
	@tests/tools/gate.sh tools

test-nixpkgs: ## as root: what of the builders needs a Nixpkgs, with NIXPKGS=/path/to/one; not part of `test`
	@NIXPKGS=$(NIXPKGS) tests/tools/gate.sh nixpkgs

test-oar: ## as root, on Debian 12: the reservations on a real OAR, which is installed for it, and demo-kadeploy; not part of `test`
	@tests/tools/gate.sh oar

test-awx: ## as root: the set-up of AWX against its recorded answers, the example project, syncs and jobs with ansible-runner; not part of `test`
	@tests/tools/gate.sh awx

test-experiment: ## as root: experiments on containers: killed, failing, shared by two runners; not part of `test`
	@tests/tools/gate.sh experiment

test-compositions: ## as root: the examples of file systems and batch systems, in which machines die, and heal; not part of `test`
	@tests/tools/gate.sh compositions

test-drift: ## as root: one node of 2 x 50 containers and one of two virtual machines that somebody has changed, and how soon that is found; not part of `test`
	@tests/tools/gate.sh drift

.PHONY: test-release release
test-release: ## what is released, and what one meets first: tarball, signature, templates, examples, the README's lines; not part of `test`
	@tests/tools/gate.sh release

release: setup-test ## a signed release of what is committed, in .cache/release, tried as the README says
	@PATH="$(CURDIR)/$(venv)/bin:$$PATH" tests/tools/release.sh .cache/release

test-report: ## in Chromium: the page that reports a deployment, what it looks like on whatever screen, and how soon; the site of `make docs`; not part of `test`
	@tests/tools/gate.sh report

.PHONY: docs
docs: setup-demo ## the manual and the reference of modules, plugins and roles as a site of HTML files, in .cache/site/html
	@tests/tools/site.sh .cache/site

test-docs: ## as root: the commands of README, tutorial and guides, in a fresh clone, held against what the pages show; not part of `test`
	@tests/tools/gate.sh docs

fuzz: ## everything that is read, in 50,000 forms that are wrong, and wrong answers of the simulated Proxmox VE; not part of `test`
	@tests/tools/gate.sh fuzz

chaos: ## as root: runs that are killed, lose the power, or fill the disk, 200 times each at random moments: the next one comes to the end of an undisturbed one; not part of `test`
	@tests/tools/gate.sh chaos

setup-%:
	@tests/tools/setup.sh $*

clean: ## remove what the other commands left in this directory; running machines stay, but for those of demo-proxmox
	@[ ! -e .cache/proxmox-demo ] || $(proxmox) stop
	$(sudo) rm -rf .cache tests/output
