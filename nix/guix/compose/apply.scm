;;; Finds the node document and applies it: host name, /etc/hosts, network, SSH keys. Runs on the node, before services.
;;; `refresh' renews only /etc/hosts and the authorized keys, from /run/compose/node.json.new, and then puts that in the
;;; place of node.json: who follows the document finds applied what it says.
;;; The formats are in docs/formats.md.
(define-module (compose apply)
  #:use-module (ice-9 match)
  #:use-module (ice-9 popen)
  #:use-module (ice-9 textual-ports)
  #:use-module (json)
  #:use-module (srfi srfi-1)
  #:export (apply-node))

(define schema "immutable.compose/node/1")

(define (fail text . arguments)
  (format (current-error-port) "node document: ~a~%" (apply format #f text arguments))
  (exit 1))

(define (items value)
  "The elements of a JSON array that may be missing."
  (if (vector? value) (vector->list value) '()))

(define (wait-for ready? seconds)
  "What READY? gives once it is true, or #f after so many SECONDS."
  (let loop ((left (* 4 seconds)))
    (or (ready?)
        (and (positive? left)
             (begin (usleep 250000) (loop (- left 1)))))))

(define (read-file path)
  (call-with-input-file path get-string-all #:encoding "UTF-8"))

(define (make-directories path)
  (unless (file-exists? path)
    (make-directories (dirname path))
    (mkdir path #o755)))

(define (write-file path mode text)
  "Replace a file, so that readers see the old or the new content and nothing in between."
  (let ((new (string-append path ".new")))
    (make-directories (dirname path))
    (when (file-exists? new) (delete-file new))
    (close-fdes (open-fdes new (logior O_WRONLY O_CREAT O_EXCL) #o600))
    (call-with-output-file new (lambda (port) (display text port)) #:encoding "UTF-8")
    (chmod new mode)
    (rename-file new path)))

(define (overwrite-file path text)
  "Write a file in its place, for a container may have it as a bind mount; a link into the store gives way."
  (when (and=> (false-if-exception (lstat path)) (lambda (status) (eq? 'symlink (stat:type status))))
    (delete-file path))
  (call-with-output-file path (lambda (port) (display text port)) #:encoding "UTF-8"))

(define (lines . texts)
  (string-concatenate (map (lambda (text) (string-append text "\n")) texts)))

(define (ensure-newline text)
  (string-append (string-trim-right text #\newline) "\n"))

(define (output-of . command)
  "The first line that a command prints, or #f."
  (let* ((port (apply open-pipe* OPEN_READ command))
         (line (get-line port)))
    (and (zero? (close-pipe port)) (string? line) line)))

(define (find-document root modprobe blkid mount umount)
  "The text of the node document."
  (define document (string-append root "/run/compose/node.json"))
  (define handed-over (string-append root "/run/compose/in/node.json"))
  (define firmware (string-append root "/sys/firmware/qemu_fw_cfg/by_name/opt/immutable.compose/node/raw"))
  (define drive (string-append root "/run/compose/drive"))
  (define (from-drive)
    (and=> (output-of blkid "--label" "COMPOSE-NODE")
           (lambda (device)
             (make-directories drive)
             (system* mount "-o" "ro" device drive)
             (let ((text (read-file (string-append drive "/node.json"))))
               (system* umount drive)
               text))))
  (cond
   ((file-exists? document) (read-file document))
   ((file-exists? handed-over) (read-file handed-over))
   (else
    (setenv "LINUX_MODULE_DIRECTORY" "/run/booted-system/kernel/lib/modules")
    (system* modprobe "--quiet" "qemu_fw_cfg")
    (if (file-exists? firmware)
        (read-file firmware)
        ;; A configuration drive may appear late. Its driver may be loaded by nobody yet: udev starts meanwhile.
        (begin
          (for-each (lambda (module) (system* modprobe "--quiet" module)) '("ata_piix" "ahci" "isofs"))
          (or (wait-for from-drive 10)
              (fail "found neither in /run/compose/in nor in the firmware nor on a disk labelled COMPOSE-NODE")))))))

(define (parse text)
  (let ((data (catch #t
                (lambda () (json-string->scm text))
                (lambda (key . arguments) (fail "no JSON: ~a ~s" key arguments)))))
    (unless (and (pair? data) (equal? (assoc-ref data "schema") schema))
      (fail "schema is ~s, expected ~s" (and (pair? data) (assoc-ref data "schema")) schema))
    data))

(define (hosts data)
  "The content of /etc/hosts."
  (define (short name) (car (string-split name #\.)))
  (let* ((name (assoc-ref data "name"))
         (domain (or (assoc-ref data "domain") ""))
         (peers (filter (lambda (peer) (string? (assoc-ref peer "address"))) (items (assoc-ref data "peers"))))
         (all (delete-duplicates (cons name (map (lambda (peer) (assoc-ref peer "name")) peers))))
         ;; Sorted, so that equal ones are neighbours.
         (shared (let loop ((rest (sort (map short all) string<?)) (found '()))
                   (cond ((or (null? rest) (null? (cdr rest))) found)
                         ((string=? (car rest) (cadr rest)) (loop (cdr rest) (cons (car rest) found)))
                         (else (loop (cdr rest) found))))))
    (define (names name)
      "All names of a node: the full one first, as `hostname -f' wants it, and the first label where it is the only such."
      (string-join
       (delete-duplicates
        (append (list (if (or (string-index name #\.) (string-null? domain)) name (string-append name "." domain)) name)
                (if (member (short name) shared) '() (list (short name)))))
       " "))
    (apply lines
           `("127.0.0.1 localhost" "::1 localhost ip6-localhost ip6-loopback"
             ,@(map (lambda (peer) (string-append (assoc-ref peer "address") " " (names (assoc-ref peer "name")))) peers)
             ,@(if (any (lambda (peer) (equal? (assoc-ref peer "name") name)) peers)
                   '()
                   (list (string-append "127.0.1.1 " (names name))))))))

(define (interface-name root match)
  "The name of the interface with the MAC address or the name in MATCH; waited for."
  (define directory (string-append root "/sys/class/net"))
  (define (mac name)
    (false-if-exception (string-trim-both (read-file (string-append directory "/" name "/address")))))
  (define (find)
    (let ((names (remove (lambda (name) (string-prefix? "." name))
                         (or (false-if-exception
                              ((@ (ice-9 ftw) scandir) directory))
                             '())))
          (wanted (assoc-ref match "mac")))
      (if wanted
          (srfi-1:find (lambda (name) (equal? (mac name) (string-downcase wanted))) names)
          (srfi-1:find (lambda (name) (equal? (assoc-ref match "name") name)) names))))
  (or (wait-for find 10)
      (fail "no network interface is ~a" (scm->json-string match))))

(define srfi-1:find find)

(define (run . command)
  (unless (zero? (apply system* command))
    (fail "failed: ~a" (string-join command " "))))

(define (configure-interface root interface ip dhcp)
  (let ((name (interface-name root (assoc-ref interface "match")))
        (address (assoc-ref interface "address"))
        (gateway (assoc-ref interface "gateway")))
    (run ip "link" "set" name "up")
    (when (string? address)
      (run ip "address" "replace" address "dev" name))
    (when (string? gateway)
      (run ip "route" "replace" "default" "via" gateway "dev" name))
    (when (eq? #t (assoc-ref interface "dhcp"))
      (run dhcp "--ipv4only" "--quiet" name))))

(define* (apply-node #:key refresh? (root "") (modprobe "modprobe") (blkid "blkid") (mount "mount")
                     (umount "umount") (ip "ip") (dhcp "dhcpcd"))
  "Apply the node document.  ROOT is put before every path; the others are programs."
  (define (place path) (string-append root path))
  (umask #o022)
  (let* ((document (place "/run/compose/node.json"))
         (new (string-append document ".new"))
         (text (cond ((not refresh?) (find-document root modprobe blkid mount umount))
                     ((file-exists? new) (read-file new))
                     (else (fail "~a is missing" new))))
         (data (parse text))
         (ssh (or (assoc-ref data "ssh") '())))
    (unless refresh?
      (write-file document #o600 text))
    (overwrite-file (place "/etc/hosts") (hosts data))
    (write-file (place "/run/compose/ssh/authorized_keys/root") #o600
                (apply lines (items (assoc-ref ssh "authorized_keys"))))
    (when refresh?
      (rename-file new document))
    (unless refresh?
      ;; Accounts as they are at boot: drift is looked for in what they are later.
      (when (file-exists? (place "/etc/passwd"))
        (write-file (place "/run/compose/passwd") #o644 (read-file (place "/etc/passwd"))))
      (for-each (match-lambda
                  ((key . file)
                   (write-file (place (string-append "/run/compose/ssh/" file)) #o600
                               (ensure-newline (or (assoc-ref ssh key) "")))))
                '(("host_key" . "host_key") ("host_certificate" . "host_key-cert.pub")))
      (sethostname (assoc-ref data "name"))
      (overwrite-file (place "/etc/hostname") (lines (assoc-ref data "name")))
      (for-each (lambda (interface) (configure-interface root interface ip dhcp))
                (items (assoc-ref data "interfaces"))))))
