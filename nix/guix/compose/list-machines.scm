;;; Prints the machines of a file for `guix deploy' as JSON: guix repl -- list-machines.scm FILE
(use-modules (compose machines) (ice-9 match) (json))

(match (cdr (command-line))
  ((file)
   (scm->json (list->vector
               (map (lambda (machine)
                      `(("name" . ,(machine-name machine)) ("machine" . ,(way-to machine (dirname file)))))
                    (machines-in file))))
   (newline)))
