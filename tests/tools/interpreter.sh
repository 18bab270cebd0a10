#!/usr/bin/env bash
# Prints the path of a real Python that can make virtual environments: interpreter.sh 3.13
# A shim of pyenv in PATH is not one, and may lead nowhere.
for candidate in "/usr/bin/python$1" $(type -ap "python$1") "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$1".*/bin/"python$1"; do
    "$candidate" -c 'import ensurepip, ssl, sys, venv; print(sys.executable)' 2>/dev/null && exit
done
exit 1
