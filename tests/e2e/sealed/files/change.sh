#!/bin/sh
touch /root/script
