;;; Gives data volumes their owner and mode.  What is in one keeps its numbers: where these are others' now, the volume is
;;; refused.  Beside the data is kept who had which, in `.compose-numbers'; see renumber of images of Debian packages, which
;;; reads and writes the same.  Runs on the node, before services.
(define-module (compose owners)
  #:use-module (ice-9 ftw)
  #:use-module (ice-9 match)
  #:use-module (ice-9 popen)
  #:use-module (ice-9 rdelim)
  #:use-module (ice-9 textual-ports)
  #:use-module (srfi srfi-1)
  #:export (own-volume))

(define (fail text . arguments)
  (format (current-error-port) "volume ~a~%" (apply format #f text arguments))
  (exit 1))

(define (entries next! kind name number)
  "What there is on this system, as (KIND NAME NUMBER)."
  (let loop ((found '()))
    (match (next!)
      (#f found)
      (entry (loop (cons (list kind (name entry) (number entry)) found))))))

(define (accounts)
  (setpwent)
  (setgrent)
  (append (entries getpwent "user" passwd:name passwd:uid)
          (entries getgrent "group" group:name group:gid)))

(define (kept? path)
  "Whether root wrote it: what others could have written says nothing."
  (and=> (false-if-exception (lstat path))
         (lambda (status)
           (and (eq? 'regular (stat:type status))
                (zero? (stat:uid status))
                (zero? (logand #o022 (stat:perms status)))))))

(define (read-record path)
  (filter-map (lambda (line)
                (match (string-tokenize line)
                  ((kind name number) (list kind name (string->number number)))
                  (_ #f)))
              (string-split (call-with-input-file path get-string-all) #\newline)))

(define (write-record path record)
  (let ((new (string-append path ".new")))
    (when (false-if-exception (lstat new)) (delete-file new))
    (call-with-port (open new (logior O_WRONLY O_CREAT O_EXCL) #o600)
      (lambda (port)
        (for-each (match-lambda ((kind name number) (format port "~a ~a ~a~%" kind name number)))
                  (sort record (lambda (one other) (string<? (format #f "~a" one) (format #f "~a" other)))))
        (fsync port)))
    (rename-file new path)))

(define (same? one other)
  "Whether two entries are of one user, or of one group."
  (and (equal? (first one) (first other)) (equal? (second one) (second other))))

(define (holder entry entries)
  "Who has the number of ENTRY."
  (find (lambda (other) (and (equal? (first entry) (first other)) (= (third entry) (third other)))) entries))

(define (refuse-others mount then now)
  "Numbers that belonged to one and are another's, or whose owner has another one."
  (for-each (lambda (entry)
              (match (list entry (find (lambda (other) (same? entry other)) now))
                (((kind name number) (_ _ (? (lambda (new) (not (= new number))) new)))
                 (fail "~a: the ~a ~a is ~a, and had ~a when the data were made: give it that number" mount kind name new number))
                (((kind name number) #f)
                 (let ((other (holder entry now)))
                   (when (and other (not (any (lambda (each) (and (same? each other) (= (third each) number))) then)))
                     (fail "~a: ~a is the ~a ~a, and was ~a when the data were made: give it another number"
                           mount number kind (second other) name))))
                (_ #t)))
            then))

(define (refuse-strangers mount find-program then now)
  "Data under a number that nobody had so far, and somebody has now."
  (let ((tests (append-map (lambda (entry)
                             (if (holder entry then)
                                 '()
                                 (list "-o" (if (equal? (first entry) "user") "-uid" "-gid") (number->string (third entry)))))
                           now)))
    (unless (null? tests)
      (let* ((port (apply open-pipe* OPEN_READ find-program mount "-xdev" "-mindepth" "1"
                          `("(" "-false" ,@tests ")" "-print" "-quit")))
             (line (read-line port)))
        (close-pipe port)
        (unless (eof-object? line)
          (fail "~a: ~a belongs to a number whose name nobody has kept, and which is a user's or a group's now" mount line))))))

(define (empty mount others)
  "Removes all that is in a volume, but the OTHERS that are mounted below."
  (file-system-fold (lambda (path status result) (not (member path others)))
                    (lambda (path status result) (delete-file path))
                    (const #t)
                    (lambda (path status result)
                      (unless (string=? path mount)
                        (false-if-exception (rmdir path)))) ;others are below it
                    (const #t)
                    (lambda (path status errno result) (fail "~a: ~a" path (strerror errno)))
                    #t mount))

(define* (own-volume mount user group mode keep? #:key (find "find") (now (accounts)) (others '()))
  (unless keep?
    (empty mount others))
  (let* ((record (string-append mount "/.compose-numbers"))
         (status (stat mount))
         (number (lambda (kind name)
                   (or (and=> (find-entry kind name now) third) (fail "~a: there is no ~a ~a" mount kind name))))
         (owner (number "user" user)))
    (when (kept? (string-append record ".moving"))
      (fail "~a: another image has begun to give its data other numbers, and has to end that" mount))
    (if (kept? record)
        (let ((then (read-record record)))
          (refuse-others mount then now)
          (refuse-strangers mount find then now)
          (write-record record (append now (remove (lambda (entry) (any (lambda (other) (same? entry other)) now)) then))))
        (begin
          (unless (or (not keep?) (memv (stat:uid status) (list 0 owner)))
            (fail "~a belongs to ~a, and ~a is ~a: give it that number" mount (stat:uid status) user owner))
          (write-record record now)))
    (chown mount owner (number "group" group))
    (chmod mount (string->number mode 8))))

(define (find-entry kind name entries)
  (find (lambda (entry) (same? entry (list kind name))) entries))
