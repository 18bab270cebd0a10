# A guest of some hundred bytes (Multiboot): writes its command line to the serial port, and resets on Delete.
# gcc -m32 -c guest.S && ld -m elf_i386 -Ttext 0x100000 --oformat binary -e start guest.o -o guest; qemu.py has it in hex.
.code32
.text
.globl start
header:
    .long 0x1BADB002, 0x00010000, -(0x1BADB002 + 0x00010000)
    .long header, header, end, end, start
start:
    movl $stack, %esp
    movl 16(%ebx), %esi
1:  lodsb
    testb %al, %al
    jz 2f
    call put
    jmp 1b
2:  movb $'\n', %al
    call put
    lgdt gdtr
    ljmp $8, $3f
3:  movw $16, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movl $key, %eax                 # interrupt 9, where the BIOS has put the keyboard
    movw %ax, idt + 9 * 8
    shrl $16, %eax
    movw %ax, idt + 9 * 8 + 6
    lidt idtr
    movb $0xfd, %al
    outb %al, $0x21
    movb $0xff, %al
    outb %al, $0xa1
    inb $0x60, %al
4:  sti
    hlt
    jmp 4b
key:
    inb $0x60, %al
    cmpb $0x53, %al
    jne 5f
    movb $0xfe, %al
    outb %al, $0x64
5:  movb $0x20, %al
    outb %al, $0x20
    iret
put:
    movb %al, %ah
    movw $0x3fd, %dx
6:  inb %dx, %al
    testb $0x20, %al
    jz 6b
    movw $0x3f8, %dx
    movb %ah, %al
    outb %al, %dx
    ret
.align 8
gdt: .quad 0, 0x00cf9a000000ffff, 0x00cf92000000ffff
gdtr: .word 23
    .long gdt
idtr: .word 79
    .long idt
.align 8
idt: .fill 9, 8, 0
    .word 0, 8, 0x8e00, 0
    .fill 64, 1, 0
stack:
end:
